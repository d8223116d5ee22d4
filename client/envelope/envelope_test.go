package envelope

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/kmsd/kmsd/crypto"
)

// noise returns n bytes that differ from one another, the same each time.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func TestRoundTrip(t *testing.T) {
	const frame = MinFrameLength
	sizes := []int{0, 1, frame - 1, frame, frame + 1, 2*frame - 1, 2 * frame, 2*frame + 1, 100*frame + 17}
	contexts := map[string]map[string]string{
		"no context":      nil,
		"empty value":     {"purpose": ""},
		"several":         {"purpose": "backup", "tenant": "17", "B": "2", "a": "1"},
		"not only ASCII":  {"größe": "grün", "\U0001F511": "鍵", "\uffff": "below the pair before in UTF-8"},
		"long":            {strings.Repeat("k", 20000): strings.Repeat("v", 20000)},
		"like a reserved": {"aws-crypt": "x", "AWS-crypto-x": "y"},
	}
	for name, context := range contexts {
		for _, size := range sizes {
			for _, workers := range []int{0, 1, 3} {
				t.Run(fmt.Sprintf("%s/%d bytes/%d workers", name, size, workers), func(t *testing.T) {
					roundTrip(t, noise(size), EncryptOptions{KeyID: "alias/a", Context: context, FrameLength: frame, Workers: workers})
				})
			}
		}
	}
}

func roundTrip(t *testing.T, plaintext []byte, o EncryptOptions) {
	t.Helper()
	kms := &fakeKMS{}
	var message, got bytes.Buffer
	info, err := Encrypt(t.Context(), kms, &message, iotest.HalfReader(bytes.NewReader(plaintext)), o)
	if err != nil {
		t.Fatalf("Encrypt = %v, want nil", err)
	}
	back, err := Decrypt(t.Context(), kms, &got, iotest.HalfReader(&message), DecryptOptions{
		Context: o.Context, KeyIDs: []string{arnA}, Workers: o.Workers,
	})
	if err != nil {
		t.Fatalf("Decrypt = %v, want nil", err)
	}
	if !bytes.Equal(got.Bytes(), plaintext) {
		t.Errorf("Decrypt gave %d bytes, not the %d encrypted", got.Len(), len(plaintext))
	}
	for _, i := range []Info{info, back} {
		if i.KeyARN != arnA || i.Bytes != int64(len(plaintext)) || !maps.Equal(i.Context, o.Context) || i.FrameLength != o.FrameLength {
			t.Errorf("Info = %+v, want %d bytes under %s with the context given", i, len(plaintext), arnA)
		}
	}
	if info.MessageID != back.MessageID || info.MessageID == [32]byte{} {
		t.Errorf("message id %x when encrypting, %x when decrypting", info.MessageID, back.MessageID)
	}
	for i, k := range kms.made {
		if !k.IsZero() || len(kms.made) != 2 {
			t.Errorf("data key %d of %d is still there after Encrypt and Decrypt, want 2 that are wiped", i+1, len(kms.made))
		}
	}
}

func TestRoundTripOfAnySize(t *testing.T) {
	kms := &fakeKMS{}
	rapid.Check(t, func(rt *rapid.T) {
		frame := rapid.IntRange(MinFrameLength, 3*MinFrameLength).Draw(rt, "frame length")
		plaintext := noise(rapid.IntRange(0, 20*MinFrameLength).Draw(rt, "size"))
		context := rapid.MapOfN(rapid.String(), rapid.String(), 0, 5).Filter(func(m map[string]string) bool {
			return checkContext(m) == nil
		}).Draw(rt, "context")
		message := mustEncrypt(t, kms, plaintext, EncryptOptions{
			FrameLength: frame, Context: context, Workers: rapid.IntRange(0, 4).Draw(rt, "workers"),
		})
		got, err := decryptBytes(t, kms, message, DecryptOptions{Context: context, Workers: rapid.IntRange(0, 4).Draw(rt, "workers")})
		if err != nil || !bytes.Equal(got, plaintext) {
			rt.Errorf("Decrypt = %d bytes, %v, want the %d encrypted", len(got), err, len(plaintext))
		}
	})
}

// The body is as long as the format says: the last frame is full if it can be, and only an empty message has an empty one.
func TestFrameCount(t *testing.T) {
	const frame, regular, final = MinFrameLength, 4 + ivLength + tagLength, headRoom + tagLength
	for size, want := range map[int]int{
		0: final, 1: final + 1, frame: final + frame, frame + 1: regular + frame + final + 1, 2 * frame: regular + frame + final + frame,
	} {
		message := mustEncrypt(t, &fakeKMS{}, noise(size), EncryptOptions{FrameLength: frame})
		_, body, _, err := readHeader(bytes.NewReader(message), 1)
		if got := len(message) - len(body) - tagLength; err != nil || got != want {
			t.Errorf("the body of %d bytes takes %d, %v, want %d", size, got, err, want)
		}
	}
}

func TestEncryptRefuses(t *testing.T) {
	ok := EncryptOptions{KeyID: "alias/a"}
	with := func(change func(*EncryptOptions)) EncryptOptions {
		o := ok
		change(&o)
		return o
	}
	many := map[string]string{}
	for i := range math.MaxUint16 + 1 {
		many[fmt.Sprint(i)] = ""
	}
	for name, tt := range map[string]struct {
		o    EncryptOptions
		want error
	}{
		"no key":                  {with(func(o *EncryptOptions) { o.KeyID = "" }), nil},
		"a key of somebody else":  {with(func(o *EncryptOptions) { o.KeyID = "alias/other" }), errFakeDenied},
		"frames too short":        {with(func(o *EncryptOptions) { o.FrameLength = MinFrameLength - 1 }), nil},
		"frames too long":         {with(func(o *EncryptOptions) { o.FrameLength = MaxFrameLength + 1 }), nil},
		"a negative frame length": {with(func(o *EncryptOptions) { o.FrameLength = -1 }), nil},
		"negative workers":        {with(func(o *EncryptOptions) { o.Workers = -1 }), nil},
		"a reserved context key":  {with(func(o *EncryptOptions) { o.Context = map[string]string{"aws-crypto-x": ""} }), ErrContext},
		"a context not in UTF-8":  {with(func(o *EncryptOptions) { o.Context = map[string]string{"k": "\xff"} }), ErrContext},
		"a context key too long":  {with(func(o *EncryptOptions) { o.Context = map[string]string{strings.Repeat("k", 65536): ""} }), ErrContext},
		"a context too long": {with(func(o *EncryptOptions) {
			o.Context = map[string]string{"a": strings.Repeat("v", 40000), "b": strings.Repeat("v", 40000)}
		}), ErrContext},
		"too many pairs": {with(func(o *EncryptOptions) { o.Context = many }), ErrContext},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			info, err := Encrypt(t.Context(), &fakeKMS{}, &out, strings.NewReader("plaintext"), tt.o)
			if err == nil || (tt.want != nil && !errors.Is(err, tt.want)) {
				t.Errorf("Encrypt = %v, want an error that matches %v", err, tt.want)
			}
			if out.Len() > 0 || info.Bytes != 0 || info.KeyARN != "" {
				t.Errorf("Encrypt refused, but wrote %d bytes and returned %+v", out.Len(), info)
			}
		})
	}
}

// badKMS returns whatever it holds.
type badKMS struct{ DataKey }

func (b badKMS) GenerateDataKey(context.Context, string, map[string]string) (DataKey, error) {
	return b.DataKey, nil
}

func (b badKMS) DecryptDataKey(context.Context, string, []byte, map[string]string) (DataKey, error) {
	return b.DataKey, nil
}

func TestDataKeyOfAnotherLengthIsRefused(t *testing.T) {
	message := mustEncrypt(t, &fakeKMS{}, noise(10), EncryptOptions{})
	for _, n := range []int{0, 16, 31, 33} {
		kms := badKMS{DataKey{Plaintext: crypto.RandomSecret(n), Ciphertext: []byte("x"), KeyARN: arnA}}
		if _, err := Encrypt(t.Context(), kms, io.Discard, strings.NewReader("x"), EncryptOptions{KeyID: "k"}); err == nil {
			t.Errorf("Encrypt under a data key of %d bytes = nil, want an error", n)
		}
		kms = badKMS{DataKey{Plaintext: crypto.RandomSecret(n), KeyARN: arnA}}
		if _, err := decryptBytes(t, kms, message, DecryptOptions{}); err == nil {
			t.Errorf("Decrypt under a data key of %d bytes = nil, want an error", n)
		}
	}
	kms := badKMS{DataKey{Plaintext: crypto.RandomSecret(32), Ciphertext: make([]byte, 65536), KeyARN: arnA}}
	if _, err := Encrypt(t.Context(), kms, io.Discard, strings.NewReader("x"), EncryptOptions{KeyID: "k"}); err == nil {
		t.Errorf("Encrypt with an encrypted data key of 65536 bytes = nil, want an error")
	}
}

var errSrc = errors.New("disk on fire")

func TestErrorsOfStreamsAreWrapped(t *testing.T) {
	kms := &fakeKMS{}
	plaintext := noise(10 * MinFrameLength)
	message := mustEncrypt(t, kms, plaintext, EncryptOptions{FrameLength: MinFrameLength})
	o := EncryptOptions{KeyID: "alias/a", FrameLength: MinFrameLength}
	for _, at := range []int{0, 1, 100, MinFrameLength, 3*MinFrameLength + 5, len(plaintext)} {
		src := io.MultiReader(bytes.NewReader(plaintext[:at]), iotest.ErrReader(errSrc))
		if _, err := Encrypt(t.Context(), kms, io.Discard, src, o); !errors.Is(err, errSrc) {
			t.Errorf("Encrypt of a source that fails after %d bytes = %v, want %v", at, err, errSrc)
		}
		// An error that wraps io.EOF is an error, not the end.
		src = io.MultiReader(bytes.NewReader(plaintext[:at]), iotest.ErrReader(fmt.Errorf("connection lost: %w", io.EOF)))
		if _, err := Encrypt(t.Context(), kms, io.Discard, src, o); err == nil {
			t.Errorf("Encrypt of a source that fails with a wrapped io.EOF after %d bytes = nil, want an error", at)
		}
		src = io.MultiReader(bytes.NewReader(message[:at]), iotest.ErrReader(errSrc))
		if _, err := Decrypt(t.Context(), kms, io.Discard, src, DecryptOptions{}); !errors.Is(err, errSrc) {
			t.Errorf("Decrypt of a source that fails after %d bytes = %v, want %v", at, err, errSrc)
		}
		dst := &limitedWriter{left: at}
		if _, err := Encrypt(t.Context(), kms, dst, bytes.NewReader(plaintext), o); !errors.Is(err, errSrc) {
			t.Errorf("Encrypt to a destination that fails after %d bytes = %v, want %v", at, err, errSrc)
		}
		if at == len(plaintext) {
			continue
		}
		dst = &limitedWriter{left: at}
		if _, err := Decrypt(t.Context(), kms, dst, bytes.NewReader(message), DecryptOptions{}); !errors.Is(err, errSrc) {
			t.Errorf("Decrypt to a destination that fails after %d bytes = %v, want %v", at, err, errSrc)
		}
	}
	if _, err := Encrypt(t.Context(), kms, shortWriter{}, bytes.NewReader(plaintext), o); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("Encrypt to a destination that writes less = %v, want %v", err, io.ErrShortWrite)
	}
	if _, err := Encrypt(t.Context(), kms, io.Discard, idleReader{}, o); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("Encrypt of a source that gives nothing = %v, want %v", err, io.ErrNoProgress)
	}
}

// When Encrypt and Decrypt return, they are done with src.
func TestSourceIsLeftAloneAfterReturn(t *testing.T) {
	kms := &fakeKMS{}
	message := mustEncrypt(t, kms, noise(9*MinFrameLength), EncryptOptions{FrameLength: MinFrameLength})
	for name, run := range map[string]func(src io.Reader) error{
		"Encrypt": func(src io.Reader) error {
			o := EncryptOptions{KeyID: "alias/a", FrameLength: MinFrameLength}
			_, err := Encrypt(t.Context(), kms, &limitedWriter{left: MinFrameLength}, src, o)
			return err
		},
		"Decrypt": func(src io.Reader) error {
			_, err := Decrypt(t.Context(), kms, &limitedWriter{left: 1}, io.MultiReader(bytes.NewReader(message[:len(message)-1]), src), DecryptOptions{})
			return err
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			src := &slowReader{}
			if err := run(src); !errors.Is(err, errSrc) {
				t.Errorf("%s to a destination that fails = %v, want %v", name, err, errSrc)
			}
			if src.reading.Load() {
				t.Errorf("%s returned, and still reads", name)
			}
		})
	}
}

// slowReader takes a second for each read.
type slowReader struct{ reading atomic.Bool }

func (r *slowReader) Read(b []byte) (int, error) {
	r.reading.Store(true)
	time.Sleep(time.Second)
	r.reading.Store(false)
	return len(b), nil
}

type limitedWriter struct{ left int }

func (w *limitedWriter) Write(b []byte) (int, error) {
	if len(b) > w.left {
		return w.left, errSrc
	}
	w.left -= len(b)
	return len(b), nil
}

type shortWriter struct{}

func (shortWriter) Write(b []byte) (int, error) { return len(b) / 2, nil }

type idleReader struct{}

func (idleReader) Read([]byte) (int, error) { return 0, nil }

func TestCancel(t *testing.T) {
	kms := &fakeKMS{}
	ctx, cancel := context.WithCancel(t.Context())
	progress := func(n int64) {
		if n >= 3*MinFrameLength {
			cancel()
		}
	}
	_, err := Encrypt(ctx, kms, io.Discard, zeros{}, EncryptOptions{KeyID: "alias/a", FrameLength: MinFrameLength, Progress: progress})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Encrypt without end, cancelled = %v, want %v", err, context.Canceled)
	}
	message := mustEncrypt(t, kms, nil, EncryptOptions{})
	if _, err := Decrypt(ctx, kms, io.Discard, bytes.NewReader(message), DecryptOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Decrypt with a context that is over = %v, want %v", err, context.Canceled)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func TestProgress(t *testing.T) {
	kms := &fakeKMS{}
	plaintext := noise(5*MinFrameLength + 1)
	var sealed, opened []int64
	message := mustEncrypt(t, kms, plaintext, EncryptOptions{
		FrameLength: MinFrameLength, Progress: func(n int64) { sealed = append(sealed, n) },
	})
	if _, err := decryptBytes(t, kms, message, DecryptOptions{Progress: func(n int64) { opened = append(opened, n) }}); err != nil {
		t.Fatal(err)
	}
	want := "[4096 8192 12288 16384 20480 20481]"
	if fmt.Sprint(sealed) != want || fmt.Sprint(opened) != want {
		t.Errorf("progress when encrypting %v, decrypting %v, want %s", sealed, opened, want)
	}
}

// No frame but the last has the number that marks the end.
func TestNumberOfFramesIsBounded(t *testing.T) {
	plain := &plainFrames{src: zeros{}, frameLength: MinFrameLength}
	if err := plain.fill(&frame{seq: math.MaxUint32 - 1}); err != nil {
		t.Errorf("filling frame 2^32-2 = %v, want nil", err)
	}
	if err := plain.fill(&frame{seq: math.MaxUint32}); !errors.Is(err, errTooManyFrames) {
		t.Errorf("filling frame 2^32-1 with more to come = %v, want %v", err, errTooManyFrames)
	}
	plain.src = strings.NewReader("the rest")
	if err := plain.fill(&frame{seq: math.MaxUint32}); err != nil {
		t.Errorf("filling frame 2^32-1, the last = %v, want nil", err)
	}
}
