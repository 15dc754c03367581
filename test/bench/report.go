package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
)

// Figure is one measured number.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// AtMost is the bound that the figure must keep; nil for one that has none.
	AtMost *float64 `json:"atMost,omitempty"`
	// AtLeast is a bound from below.
	AtLeast *float64 `json:"atLeast,omitempty"`
}

// Report is what a scenario measured.
type Report struct {
	Scenario string   `json:"scenario"`
	About    string   `json:"about"`
	Subject  string   `json:"subject"`
	Machine  string   `json:"machine"`
	Figures  []Figure `json:"figures"`
}

// Add appends a figure.
func (r *Report) Add(name string, value float64, unit string) {
	r.Figures = append(r.Figures, Figure{Name: name, Value: value, Unit: unit})
}

// Bound appends a figure that must not be greater than most.
func (r *Report) Bound(name string, value, most float64, unit string) {
	r.Figures = append(r.Figures, Figure{Name: name, Value: value, Unit: unit, AtMost: &most})
}

// AtLeast appends a figure that must not be less than least.
func (r *Report) AtLeast(name string, value, least float64, unit string) {
	r.Figures = append(r.Figures, Figure{Name: name, Value: value, Unit: unit, AtLeast: &least})
}

// verdict says whether the figure keeps its bound; without one it is "" and kept.
func (f Figure) verdict() (text string, kept bool) {
	switch {
	case f.AtMost != nil:
		text, kept = fmt.Sprintf("at most %.6g", *f.AtMost), f.Value <= *f.AtMost
	case f.AtLeast != nil:
		text, kept = fmt.Sprintf("at least %.6g", *f.AtLeast), f.Value >= *f.AtLeast
	default:
		return "", true
	}
	if kept {
		return text + ": kept", true
	}
	return text + ": MISSED", false
}

// Print writes the table, with the bounds when they apply, and returns how many are missed.
func (r *Report) Print(w io.Writer, bounds bool) (missed int) {
	fmt.Fprintf(w, "\n%s (%s): %s\n%s\n\n", r.Scenario, r.Subject, r.About, r.Machine)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, f := range r.Figures {
		verdict, kept := f.verdict()
		if !bounds {
			verdict, kept = "", true
		}
		if !kept {
			missed++
		}
		fmt.Fprintf(tw, "%s\t%.6g\t%s\t%s\t\n", f.Name, f.Value, f.Unit, verdict)
	}
	_ = tw.Flush()
	return missed
}

// Write stores the report as <dir>/<scenario>.json; that of another tool with the tool's name before .json.
func (r *Report) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	name := r.Scenario + ".json"
	if r.Subject != sealbridge {
		name = r.Scenario + "." + r.Subject + ".json"
	}
	if err := os.WriteFile(filepath.Join(dir, name), append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
