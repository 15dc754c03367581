package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/storage/memory"
)

// request encodes what is wanted: the commits, one commit deep when shallow.
func request(adv *packp.AdvRefs, wants []plumbing.Hash, shallow bool) (*packp.UploadPackRequest, []byte, error) {
	req := packp.NewUploadPackRequestFromCapabilities(adv.Capabilities)
	req.Capabilities.Delete(capability.ThinPack) // there is nothing here that a thin pack could lean on
	req.Wants = wants
	if adv.Capabilities.Supports(capability.NoProgress) {
		if err := req.Capabilities.Set(capability.NoProgress); err != nil {
			return nil, nil, err
		}
	}
	if shallow && adv.Capabilities.Supports(capability.Shallow) {
		if err := req.Capabilities.Set(capability.Shallow); err != nil {
			return nil, nil, err
		}
		req.Depth = packp.DepthCommits(1)
	}
	var buf bytes.Buffer
	if err := req.UploadRequest.Encode(&buf); err != nil {
		return nil, nil, err
	}
	if err := pktline.NewEncoder(&buf).EncodeString("done\n"); err != nil {
		return nil, nil, err
	}
	return req, buf.Bytes(), nil
}

// receive reads the answer to a request into memory: not more of it than the limit, while it arrives.
func receive(ctx context.Context, req *packp.UploadPackRequest, answer io.ReadCloser, limits Limits) ([]byte, error) {
	defer func() { _ = answer.Close() }()
	bounded := &boundedReader{r: answer, left: limits.TransferBytes}
	response := packp.NewUploadPackResponse(req)
	if err := response.Decode(io.NopCloser(bounded)); err != nil {
		return nil, err
	}
	var pack io.Reader = response
	switch {
	case req.Capabilities.Supports(capability.Sideband64k):
		pack = sideband.NewDemuxer(sideband.Sideband64k, response)
	case req.Capabilities.Supports(capability.Sideband):
		pack = sideband.NewDemuxer(sideband.Sideband, response)
	}
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(pack); err != nil {
		return nil, err
	}
	return buf.Bytes(), ctx.Err()
}

var errMalformedPack = errors.New("malformed pack")

// unpack puts the objects of a pack into memory. A pack is compressed twice over (zlib, and deltas that repeat parts of
// other objects), so a small one can unfold to any size: the sizes that it declares are added up first, and the library
// holds it to them.
func unpack(ctx context.Context, pack []byte, limits Limits) (*memory.Storage, error) {
	if err := measure(ctx, pack, limits); err != nil {
		return nil, err
	}
	storage := &cancelledStorage{Storage: memory.NewStorage(), ctx: ctx}
	parser, err := packfile.NewParserWithStorage(packfile.NewScanner(bytes.NewReader(pack)), storage)
	if err != nil {
		return nil, errMalformedPack
	}
	if _, err := parser.Parse(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, errMalformedPack
	}
	return storage.Storage, nil
}

// cancelledStorage ends the parser's work when the context ends: the parser itself knows none.
type cancelledStorage struct {
	*memory.Storage
	ctx context.Context //nolint:containedctx // the parser's interface has no context
}

// SetEncodedObject implements storer.EncodedObjectStorer.
func (s *cancelledStorage) SetEncodedObject(obj plumbing.EncodedObject) (plumbing.Hash, error) {
	if err := s.ctx.Err(); err != nil {
		return plumbing.ZeroHash, err
	}
	return s.Storage.SetEncodedObject(obj)
}

// measure adds up what the objects of a pack unfold to.
func measure(ctx context.Context, pack []byte, limits Limits) error {
	scanner := packfile.NewScanner(bytes.NewReader(pack))
	_, count, err := scanner.Header()
	if err != nil {
		return errMalformedPack
	}
	if int64(count) > limits.Objects {
		return errTooLarge
	}
	var total int64
	for range count {
		if err := ctx.Err(); err != nil {
			return err
		}
		header, err := scanner.NextObjectHeader()
		if err != nil {
			return errMalformedPack
		}
		size := header.Length
		if total+size > limits.ObjectBytes {
			return errTooLarge
		}
		if header.Type.IsDelta() {
			var start prefix
			if _, _, err := scanner.NextObject(&start); err != nil {
				return errMalformedPack
			}
			target, ok := start.targetSize()
			if !ok {
				return errMalformedPack
			}
			size += target
		}
		if total += size; total > limits.ObjectBytes || size > limits.ObjectBytes {
			return errTooLarge
		}
	}
	return nil
}

// prefix keeps the first bytes of a delta, where it declares the sizes of what it changes and of what comes out
// (gitformat-pack(5), "Deltified representation").
type prefix struct {
	head [20]byte
	n    int
}

// Write implements io.Writer.
func (p *prefix) Write(b []byte) (int, error) {
	p.n += copy(p.head[p.n:], b)
	return len(b), nil
}

func (p *prefix) targetSize() (int64, bool) {
	r := bytes.NewReader(p.head[:p.n])
	if _, ok := varint(r); !ok {
		return 0, false
	}
	return varint(r)
}

// varint reads a size in groups of seven bits, the lowest first.
func varint(r io.ByteReader) (int64, bool) {
	var value int64
	for shift := 0; shift <= 56; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, false
		}
		value |= int64(b&0x7f) << shift
		if b&0x80 == 0 {
			return value, true
		}
	}
	return 0, false
}

func (l Limits) tooLarge() string {
	return fmt.Sprintf("the repository is larger than %d MiB at this commit", l.TransferBytes>>20)
}
