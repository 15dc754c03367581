package stores

// Fake serves the values that are written in the store itself. They are readable by everyone who may read the store.
type Fake struct {
	// Data are the documents.
	Data []FakeData `json:"data"`

	// ValidationResult makes the store report itself as ready (0), unknown (1) or broken (2).
	// +optional
	// +kubebuilder:validation:Minimum=-2147483648
	// +kubebuilder:validation:Maximum=2147483647
	ValidationResult *int32 `json:"validationResult,omitempty"`
}

// FakeData is one document.
type FakeData struct {
	// Key under which the document is found.
	Key string `json:"key"`

	// Value is the document.
	Value string `json:"value"`

	// Version of the document; a reference finds it only when it asks for the same.
	// +optional
	Version string `json:"version,omitempty"`
}
