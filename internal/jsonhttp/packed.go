package jsonhttp

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"
)

// maxPacked is how much is read of an answer that is packed: as much as one takes that packing does not make smaller. Where the
// transport unpacks there is no such bound, and an answer of nothing but empty blocks keeps a processor busy for as long as it comes.
const maxPacked = MaxAnswer + 64<<10

// acceptPacked makes a request accept an answer that is packed, and reports whether it did: who says himself what he accepts, or wants
// a part, gets it as it comes.
func acceptPacked(h http.Header) bool {
	if h.Get("Accept-Encoding") != "" || h.Get("Range") != "" {
		return false
	}
	h.Set("Accept-Encoding", "gzip")
	return true
}

// unpacked returns the body of an answer as it was before it was packed, if it was.
func unpacked(resp *http.Response) (io.Reader, error) {
	if !strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") {
		return resp.Body, nil
	}
	resp.Header.Del("Content-Encoding")
	resp.Header.Del("Content-Length")
	packed := http.MaxBytesReader(nil, resp.Body, maxPacked)
	from, err := gzip.NewReader(packed)
	if errors.Is(err, io.EOF) { // there is no body
		return packed, nil
	}
	return from, err
}
