package envelope

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"slices"
	"testing"
)

// maxForNothing is what a message may make Decrypt allocate beyond 16 times its own length: the reader's buffer, a frame's
// first memory, fixed parts.
const maxForNothing = 1 << 20

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// seeds are messages of every kind.
func seeds(t testing.TB, kms *fakeKMS) [][]byte {
	parts := smallMessage(t, kms)
	whole := newForge(t, kms, func(h *header) { h.framed, h.frameLength = false, 0 })
	large := newForge(t, kms, func(h *header) { h.frameLength = MaxFrameLength })
	plain := newForge(t, kms, func(h *header) { h.keys = append(h.keys, encryptedDataKey{provider: "raw"}) })
	return [][]byte{
		slices.Concat(parts...),
		slices.Concat(whole.header(t), whole.block(content1)),
		slices.Concat(large.header(t), []byte("\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01...")),
		slices.Concat(plain.header(t), plain.frame("", true)),
		[]byte("AgR4"),
		{1, 0x80, 3, 0x78},
	}
}

func FuzzDecrypt(f *testing.F) {
	kms := &fakeKMS{}
	for _, s := range seeds(f, kms) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		var out bytes.Buffer
		var err error
		n := allocated(func() {
			_, err = Decrypt(t.Context(), kms, &out, bytes.NewReader(message), DecryptOptions{Workers: 2})
		})
		if limit := maxForNothing + 16*uint64(len(message)); n > limit {
			t.Errorf("Decrypt of %d bytes allocated %d, want at most %d", len(message), n, limit)
		}
		if err != nil && !isRefusal(err) {
			t.Errorf("Decrypt = %v, want a refusal of a known kind", err)
		}
		if err == nil && !slices.Contains([]string{content1 + content2 + content3, content1, ""}, out.String()) {
			t.Errorf("Decrypt gave %q, which nobody encrypted", out.Bytes())
		}
	})
}

func FuzzHeader(f *testing.F) {
	for _, s := range seeds(f, &fakeKMS{}) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		src := bytes.NewReader(b)
		var h header
		var body []byte
		var err error
		n := allocated(func() { h, body, _, err = readHeader(src, DefaultMaxDataKeys) })
		if limit := maxForNothing + 16*uint64(len(b)); n > limit {
			t.Errorf("a header of %d bytes allocated %d, want at most %d", len(b), n, limit)
		}
		if err != nil {
			if !isRefusal(err) || h.context != nil || body != nil {
				t.Errorf("readHeader = %+v, %v, want nothing and a refusal", h, err)
			}
			return
		}
		again, err := h.append(nil)
		if err != nil || !bytes.Equal(again, body) || !bytes.Equal(body, b[:len(body)]) {
			t.Errorf("a header read and written again is %x, %v, want %x", again, err, body)
		}
		if read := len(b) - src.Len(); read != len(body)+tagLength {
			t.Errorf("readHeader read %d bytes, want %d", read, len(body)+tagLength)
		}
	})
}

// A claimed frame of 64 MiB that is not there costs nothing.
func TestLengthsClaimedCostNothing(t *testing.T) {
	kms := &fakeKMS{}
	f := newForge(t, kms, func(h *header) { h.frameLength = MaxFrameLength })
	begun := slices.Concat(f.header(t), []byte("\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"), make([]byte, 1000))
	n := allocated(func() {
		if _, err := Decrypt(t.Context(), kms, io.Discard, bytes.NewReader(begun), DecryptOptions{}); !errors.Is(err, ErrTruncated) {
			t.Errorf("Decrypt = %v, want %v", err, ErrTruncated)
		}
	})
	if n > maxForNothing {
		t.Errorf("Decrypt of %d bytes that claim 64 MiB allocated %d bytes, want at most %d", len(begun), n, maxForNothing)
	}
}
