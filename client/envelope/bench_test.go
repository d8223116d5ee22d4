package envelope

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// TestMemoryIsConstant sends half a gigabyte through Encrypt and Decrypt and watches the heap.
func TestMemoryIsConstant(t *testing.T) {
	if testing.Short() {
		t.Skip("streams 512 MiB")
	}
	const size, bound = 512 << 20, 24 << 20
	kms := &fakeKMS{}
	runtime.GC()
	var base runtime.MemStats
	runtime.ReadMemStats(&base)
	sealed, feed := io.Pipe()
	go func() {
		_, err := Encrypt(t.Context(), kms, feed, io.LimitReader(zeros{}, size), EncryptOptions{KeyID: "alias/a"})
		feed.CloseWithError(err)
	}()
	var peak uint64
	var calls int
	start := time.Now()
	out := &countingWriter{}
	info, err := Decrypt(t.Context(), kms, out, sealed, DecryptOptions{Progress: func(int64) {
		if calls++; calls%64 == 0 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapInuse)
		}
	}})
	if err != nil || info.Bytes != size || out.n.Load() != size {
		t.Fatalf("Decrypt = %+v, %v, wrote %d bytes, want %d", info, err, out.n.Load(), size)
	}
	if grown := int64(peak) - int64(base.HeapInuse); peak == 0 || grown > bound {
		t.Errorf("the heap grew by %d bytes, want at most %d", grown, bound)
	} else {
		t.Logf("the heap grew by %d KiB; %d MB/s through both ends", grown>>10, size/1000/time.Since(start).Milliseconds())
	}
}

type countingWriter struct{ n atomic.Int64 }

func (w *countingWriter) Write(b []byte) (int, error) {
	w.n.Add(int64(len(b)))
	return len(b), nil
}

// benchmarkSize is long enough that the call of the KMS does not count.
const benchmarkSize = 64 << 20

// BenchmarkGCM is the baseline: AES-256-GCM in place, frame by frame, on one core.
func BenchmarkGCM(b *testing.B) {
	for _, frameLength := range []int{4 << 10, 64 << 10, 256 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("frame=%dKiB", frameLength>>10), func(b *testing.B) {
			block, err := aes.NewCipher(make([]byte, 32))
			if err != nil {
				b.Fatal(err)
			}
			aead, err := cipher.NewGCM(block)
			if err != nil {
				b.Fatal(err)
			}
			buf := make([]byte, frameLength+tagLength)
			b.SetBytes(benchmarkSize)
			for b.Loop() {
				for i := range benchmarkSize / frameLength {
					nonce := iv(uint32(i))
					aead.Seal(buf[:0], nonce[:], buf[:frameLength], nil)
				}
			}
		})
	}
}

func BenchmarkEncrypt(b *testing.B) {
	each(b, func(b *testing.B, frameLength, workers int) {
		kms := &fakeKMS{}
		for b.Loop() {
			o := EncryptOptions{KeyID: "alias/a", FrameLength: frameLength, Workers: workers}
			if _, err := Encrypt(b.Context(), kms, io.Discard, io.LimitReader(zeros{}, benchmarkSize), o); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDecrypt(b *testing.B) {
	each(b, func(b *testing.B, frameLength, workers int) {
		kms := &fakeKMS{}
		message := mustEncrypt(b, kms, make([]byte, benchmarkSize), EncryptOptions{FrameLength: frameLength})
		src := &rewinder{b: message}
		for b.Loop() {
			src.at = 0
			if _, err := Decrypt(b.Context(), kms, io.Discard, src, DecryptOptions{Workers: workers}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkSmall is a message of 1 KiB with and without a data key cache, before a KMS that takes no time.
func BenchmarkSmall(b *testing.B) {
	kms := &fakeKMS{}
	cache := NewCache(kms, CacheConfig{MaxMessages: 1 << 30, MaxBytes: 1 << 60})
	defer cache.Close()
	for name, k := range map[string]KMS{"uncached": kms, "cached": cache} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := Encrypt(b.Context(), k, io.Discard, io.LimitReader(zeros{}, 1024), EncryptOptions{KeyID: "alias/a"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

type rewinder struct {
	b  []byte
	at int
}

func (r *rewinder) Read(p []byte) (int, error) {
	if r.at == len(r.b) {
		return 0, io.EOF
	}
	n := copy(p, r.b[r.at:])
	r.at += n
	return n, nil
}

func each(b *testing.B, f func(b *testing.B, frameLength, workers int)) {
	for _, frameLength := range []int{4 << 10, 64 << 10, 256 << 10, 1 << 20} {
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("frame=%dKiB/workers=%d", frameLength>>10, workers), func(b *testing.B) {
				b.SetBytes(benchmarkSize)
				f(b, frameLength, workers)
			})
		}
	}
}
