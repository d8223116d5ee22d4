package envelope

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/kmsd/kmsd/crypto"
)

// smallFrame is a frame length that only a test makes: three frames in a message of a few hundred bytes.
const smallFrame = 16

// forge builds a message around a data key the test knows, with whatever header it wants, under a valid tag.
type forge struct {
	h      header
	key    messageKey
	frames int // frames written
}

// newForge begins a message of frames of smallFrame bytes.
func newForge(t testing.TB, kms *fakeKMS, change func(*header)) *forge {
	t.Helper()
	context := map[string]string{"purpose": "test", "tenant": "17"}
	k, err := kms.GenerateDataKey(t.Context(), arnA, context)
	if err != nil {
		t.Fatal(err)
	}
	f := &forge{h: header{
		messageID: [32]byte{1, 2, 3}, context: context, framed: true, frameLength: smallFrame,
		keys: []encryptedDataKey{{provider: providerAWSKMS, info: []byte(arnA), ciphertext: k.Ciphertext}},
	}}
	if f.key, f.h.commitment, err = deriveMessageKey(k.Plaintext, f.h.messageID); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&f.h)
	}
	return f
}

func (f *forge) header(t testing.TB) []byte {
	t.Helper()
	body, err := f.h.append(nil)
	if err != nil {
		t.Fatal(err)
	}
	tag := f.key.headerTag(body)
	return append(body, tag[:]...)
}

// frame is the next frame, sealed properly.
func (f *forge) frame(content string, final bool) []byte {
	f.frames++
	return f.frameAt(uint32(f.frames), content, final)
}

func (f *forge) frameAt(seq uint32, content string, final bool) []byte {
	fr := &frame{seq: seq, n: len(content), final: final}
	fr.grow(headRoom + fr.n)
	copy(fr.buf[headRoom:], content)
	sealFrame(f.key, f.h.messageID, fr)
	return fr.out
}

// block is a body without frames.
func (f *forge) block(content string) []byte {
	nonce := iv(1)
	b := binary.BigEndian.AppendUint64(nonce[:], uint64(len(content)))
	return f.key.seal(b, 1, []byte(content), frameAAD(f.h.messageID, labelSingleBlock, 1, len(content)))
}

const content1, content2, content3 = "the first frame.", "the second frame", "the end"

// smallMessage is a message of three frames, and the parts it is made of.
func smallMessage(t testing.TB, kms *fakeKMS) (parts [][]byte) {
	t.Helper()
	f := newForge(t, kms, nil)
	return [][]byte{f.header(t), f.frame(content1, false), f.frame(content2, false), f.frame(content3, true)}
}

// refusals are all the reasons there are; every refusal is one of them.
var refusals = []error{ErrMalformed, ErrUnsupported, ErrLimit, ErrTruncated, ErrTrailing, ErrAltered, ErrNoDataKey, ErrContext}

func isRefusal(err error) bool {
	return slices.ContainsFunc(refusals, func(want error) bool { return errors.Is(err, want) })
}

func TestEveryAlteredBitIsRefused(t *testing.T) {
	kms := &fakeKMS{}
	parts := smallMessage(t, kms)
	message := slices.Concat(parts...)
	for i := range message {
		for bit := range 8 {
			altered := bytes.Clone(message)
			altered[i] ^= 1 << bit
			got, err := decryptBytes(t, kms, altered, DecryptOptions{})
			if !isRefusal(err) {
				t.Fatalf("Decrypt with bit %d of byte %d altered = %v, want a refusal", bit, i, err)
			}
			// Whole frames before the altered one, and nothing of it.
			want := ""
			if i >= len(parts[0])+len(parts[1]) {
				want += content1
			}
			if i >= len(parts[0])+len(parts[1])+len(parts[2]) {
				want += content2
			}
			if string(got) != want {
				t.Fatalf("Decrypt with bit %d of byte %d altered released %q, want %q", bit, i, got, want)
			}
		}
	}
}

func TestEveryTruncationIsRefused(t *testing.T) {
	kms := &fakeKMS{}
	message := slices.Concat(smallMessage(t, kms)...)
	for n := range message {
		got, err := decryptBytes(t, kms, message[:n], DecryptOptions{})
		if !errors.Is(err, ErrTruncated) {
			t.Errorf("Decrypt of the first %d of %d bytes = %v, want %v", n, len(message), err, ErrTruncated)
		}
		if !strings.HasPrefix(content1+content2, string(got)) || len(got)%smallFrame != 0 {
			t.Errorf("Decrypt of the first %d of %d bytes released %q", n, len(message), got)
		}
	}
}

func TestFramesOutOfPlaceAreRefused(t *testing.T) {
	kms := &fakeKMS{}
	f := newForge(t, kms, nil)
	head, one, two, end := f.header(t), f.frame(content1, false), f.frame(content2, false), f.frame(content3, true)
	other := newForge(t, kms, func(h *header) { h.messageID[0]++ })
	foreign := other.frame(content1, false)
	unmarked := bytes.Clone(end[4:]) // the final frame's content as a regular frame
	marked := append([]byte{0xff, 0xff, 0xff, 0xff}, slices.Concat(one[:16], []byte{0, 0, 0, smallFrame}, one[16:])...)
	renumber := func(b []byte, seq uint32) []byte {
		b = bytes.Clone(b)
		binary.BigEndian.PutUint32(b, seq)
		binary.BigEndian.PutUint32(b[12:], seq)
		return b
	}
	for name, tt := range map[string]struct {
		parts    [][]byte
		want     error
		released string
	}{
		"as it was":                           {[][]byte{one, two, end}, nil, content1 + content2 + content3},
		"two frames swapped":                  {[][]byte{two, one, end}, ErrAltered, ""},
		"two frames swapped and renumbered":   {[][]byte{renumber(two, 1), renumber(one, 2), end}, ErrAltered, ""},
		"a frame twice":                       {[][]byte{one, one, two, end}, ErrAltered, content1},
		"a frame twice, renumbered":           {[][]byte{one, renumber(one, 2), end}, ErrAltered, content1},
		"the first frame missing":             {[][]byte{two, end}, ErrAltered, ""},
		"a middle frame missing":              {[][]byte{one, end}, ErrAltered, content1},
		"the final frame missing":             {[][]byte{one, two}, ErrTruncated, content1 + content2},
		"frames that begin at 0":              {[][]byte{f.frameAt(0, content1, false), one, end}, ErrAltered, ""},
		"a frame with the number of the end":  {[][]byte{one, f.frameAt(0xffffffff, content2, false), end}, ErrAltered, content1},
		"a final frame with another number":   {[][]byte{one, two, f.frameAt(4, content3, true)}, ErrAltered, content1 + content2},
		"a final frame longer than a frame":   {[][]byte{one, two, f.frameAt(3, content3+content1, true)}, ErrAltered, content1 + content2},
		"an empty final frame":                {[][]byte{one, two, f.frameAt(3, "", true)}, nil, content1 + content2},
		"a full final frame":                  {[][]byte{one, f.frameAt(2, content2, true)}, nil, content1 + content2},
		"a regular frame marked as final":     {[][]byte{marked}, ErrAltered, ""},
		"the final frame unmarked":            {[][]byte{one, two, unmarked}, ErrTruncated, content1 + content2},
		"a frame of another message":          {[][]byte{foreign, two, end}, ErrAltered, ""},
		"a byte after the end":                {[][]byte{one, two, end, {0}}, ErrTrailing, content1 + content2},
		"a second final frame":                {[][]byte{one, two, end, f.frameAt(4, "x", true)}, ErrTrailing, content1 + content2},
		"a second message":                    {[][]byte{one, two, end, head, one, two, end}, ErrTrailing, content1 + content2},
		"no body":                             {nil, ErrTruncated, ""},
		"a body without frames, under framed": {[][]byte{f.block(content1)}, ErrAltered, ""},
	} {
		for _, workers := range []int{1, 4} {
			t.Run(fmt.Sprintf("%s/%d workers", name, workers), func(t *testing.T) {
				got, err := decryptBytes(t, kms, slices.Concat(head, slices.Concat(tt.parts...)), DecryptOptions{Workers: workers})
				if !errors.Is(err, tt.want) {
					t.Errorf("Decrypt = %v, want %v", err, tt.want)
				}
				if string(got) != tt.released {
					t.Errorf("Decrypt released %q, want %q", got, tt.released)
				}
			})
		}
	}
}

func TestMessageWithoutFrames(t *testing.T) {
	kms := &fakeKMS{}
	f := newForge(t, kms, func(h *header) { h.framed, h.frameLength = false, 0 })
	head, block := f.header(t), f.block(content1)
	message := slices.Concat(head, block)
	var out bytes.Buffer
	info, err := Decrypt(t.Context(), kms, &out, bytes.NewReader(message), DecryptOptions{})
	if err != nil || out.String() != content1 || info.FrameLength != 0 || info.Bytes != smallFrame {
		t.Errorf("Decrypt = %+v, %v and %q, want %q", info, err, out.Bytes(), content1)
	}
	if got, err := decryptBytes(t, kms, slices.Concat(head, f.block("")), DecryptOptions{}); err != nil || len(got) > 0 {
		t.Errorf("Decrypt of an empty one = %q, %v, want nothing", got, err)
	}
	for i := range message {
		altered := bytes.Clone(message)
		altered[i] ^= 1
		if got, err := decryptBytes(t, kms, altered, DecryptOptions{}); !isRefusal(err) || len(got) > 0 {
			t.Errorf("Decrypt with byte %d altered = %q, %v, want a refusal", i, got, err)
		}
		if got, err := decryptBytes(t, kms, message[:i], DecryptOptions{}); !errors.Is(err, ErrTruncated) || len(got) > 0 {
			t.Errorf("Decrypt of the first %d bytes = %q, %v, want %v", i, got, err, ErrTruncated)
		}
	}
	if got, err := decryptBytes(t, kms, append(message, 0), DecryptOptions{}); !errors.Is(err, ErrTrailing) || len(got) > 0 {
		t.Errorf("Decrypt with a byte more = %q, %v, want %v", got, err, ErrTrailing)
	}
	binary.BigEndian.PutUint64(block[ivLength:], MaxFrameLength+1)
	if _, err := decryptBytes(t, kms, slices.Concat(head, block), DecryptOptions{}); !errors.Is(err, ErrLimit) {
		t.Errorf("Decrypt of one too long = %v, want %v", err, ErrLimit)
	}
}

// What the header says is refused before the KMS is asked.
func TestHeadersRefusedWithoutTheKMS(t *testing.T) {
	prefix := func(version byte, suite uint16) []byte {
		return append([]byte{version, byte(suite >> 8), byte(suite)}, make([]byte, 400)...)
	}
	build := func(context []byte, keys []byte, content byte, frameLength uint32) []byte {
		b := append([]byte{2, 4, 0x78}, make([]byte, 32)...)
		b = binary.BigEndian.AppendUint16(b, uint16(len(context)))
		b = append(append(b, context...), keys...)
		b = binary.BigEndian.AppendUint32(append(b, content), frameLength)
		return append(b, make([]byte, 400)...)
	}
	key := []byte("\x00\x01" + "\x00\x07aws-kms" + "\x00\x01x" + "\x00\x01y")
	many := slices.Concat([]byte{0, 17}, bytes.Repeat(key[2:], 17))
	big := slices.Concat([]byte{0, 16}, bytes.Repeat(slices.Concat([]byte("\x00\x07aws-kms\xff\xff"), make([]byte, 65535), []byte("\x00\x01y")), 16))
	for name, tt := range map[string]struct {
		message []byte
		want    error
		says    string
	}{
		"nothing":                     {nil, ErrTruncated, ""},
		"format version 1":            {prefix(1, 0x0478), ErrUnsupported, "version 1"},
		"base64":                      {[]byte("AgR4" + strings.Repeat("A", 400)), ErrMalformed, "base64"},
		"a text":                      {[]byte("dear diary"), ErrMalformed, "not a message"},
		"a suite with a signature":    {prefix(2, 0x0578), ErrUnsupported, "0x0578"},
		"a suite without commitment":  {prefix(2, 0x0178), ErrUnsupported, "0x0178"},
		"no pairs, but a count":       {build([]byte{0, 0}, key, 2, 1), ErrMalformed, "canonical"},
		"a context of one byte":       {build([]byte{0}, key, 2, 1), ErrMalformed, "canonical"},
		"a pair that is not there":    {build([]byte("\x00\x02\x00\x01a\x00\x01b"), key, 2, 1), ErrMalformed, "canonical"},
		"more than the pairs":         {build([]byte("\x00\x01\x00\x01a\x00\x01b."), key, 2, 1), ErrMalformed, "canonical"},
		"a value that is too short":   {build([]byte("\x00\x01\x00\x01a\x00\x09b"), key, 2, 1), ErrMalformed, "canonical"},
		"a key twice":                 {build([]byte("\x00\x02\x00\x01a\x00\x01b\x00\x01a\x00\x01c"), key, 2, 1), ErrMalformed, "canonical"},
		"the empty key twice":         {build([]byte("\x00\x02\x00\x00\x00\x01b\x00\x00\x00\x01c"), key, 2, 1), ErrMalformed, "canonical"},
		"keys out of order":           {build([]byte("\x00\x02\x00\x01b\x00\x01b\x00\x01a\x00\x01c"), key, 2, 1), ErrMalformed, "canonical"},
		"a context not in UTF-8":      {build([]byte("\x00\x01\x00\x01\xff\x00\x01b"), key, 2, 1), ErrMalformed, "canonical"},
		"a signature's context":       {build([]byte("\x00\x01\x00\x15aws-crypto-public-key\x00\x01b"), key, 2, 1), ErrMalformed, "signature"},
		"no data key":                 {build(nil, []byte{0, 0}, 2, 1), ErrMalformed, "no encrypted data key"},
		"17 data keys":                {build(nil, many, 2, 1), ErrLimit, "17"},
		"a header of a megabyte":      {build(nil, big, 2, 1), ErrLimit, "header longer"},
		"a provider not in UTF-8":     {build(nil, []byte("\x00\x01\x00\x01\xff\x00\x01x\x00\x01y"), 2, 1), ErrMalformed, "provider"},
		"content type 0":              {build(nil, key, 0, 1), ErrMalformed, "content type"},
		"content type 3":              {build(nil, key, 3, 1), ErrMalformed, "content type"},
		"frames of no length":         {build(nil, key, 2, 0), ErrMalformed, "no length"},
		"frames of more than 64 MiB":  {build(nil, key, 2, MaxFrameLength+1), ErrLimit, "longer"},
		"frames of 4 GiB":             {build(nil, key, 2, 0xffffffff), ErrLimit, "longer"},
		"no frames, but a length":     {build(nil, key, 1, 1), ErrMalformed, "frame length"},
		"a data key of somebody else": {build(nil, []byte("\x00\x01\x00\x03raw\x00\x01x\x00\x01y"), 2, 1), ErrNoDataKey, ""},
		"an ARN that is not UTF-8":    {build(nil, []byte("\x00\x01\x00\x07aws-kms\x00\x01\xff\x00\x01y"), 2, 1), ErrNoDataKey, ""},
	} {
		t.Run(name, func(t *testing.T) {
			kms := &fakeKMS{}
			_, err := decryptBytes(t, kms, tt.message, DecryptOptions{})
			if !errors.Is(err, tt.want) || !strings.Contains(fmt.Sprint(err), tt.says) {
				t.Errorf("Decrypt = %v, want %v and %q", err, tt.want, tt.says)
			}
			if n := kms.called("DecryptDataKey"); n != 0 {
				t.Errorf("the KMS was asked %d times, want 0", n)
			}
		})
	}
}

func TestDecryptAcceptsOnlyWhatIsAskedFor(t *testing.T) {
	kms := &fakeKMS{}
	message := mustEncrypt(t, kms, noise(10), EncryptOptions{Context: map[string]string{"purpose": "backup", "tenant": "17"}})
	for name, tt := range map[string]struct {
		o    DecryptOptions
		want error
	}{
		"anything":                      {DecryptOptions{}, nil},
		"the whole context":             {DecryptOptions{Context: map[string]string{"purpose": "backup", "tenant": "17"}}, nil},
		"a part of the context":         {DecryptOptions{Context: map[string]string{"tenant": "17"}}, nil},
		"another value":                 {DecryptOptions{Context: map[string]string{"tenant": "18"}}, ErrContext},
		"a pair more":                   {DecryptOptions{Context: map[string]string{"tenant": "17", "x": ""}}, ErrContext},
		"a key in other case":           {DecryptOptions{Context: map[string]string{"Tenant": "17"}}, ErrContext},
		"this key":                      {DecryptOptions{KeyIDs: []string{arnB, arnA}}, nil},
		"another key":                   {DecryptOptions{KeyIDs: []string{arnB}}, ErrNoDataKey},
		"the key by its alias":          {DecryptOptions{KeyIDs: []string{"alias/a"}}, ErrNoDataKey},
		"one data key":                  {DecryptOptions{MaxDataKeys: 1}, nil},
		"fewer than no data keys":       {DecryptOptions{MaxDataKeys: -1}, nil},
		"less than no workers":          {DecryptOptions{Workers: -1}, nil},
		"more workers than frames make": {DecryptOptions{Workers: 1000}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			before := kms.called("DecryptDataKey")
			got, err := decryptBytes(t, kms, message, tt.o)
			if bad := tt.o.MaxDataKeys < 0 || tt.o.Workers < 0; bad {
				if err == nil {
					t.Errorf("Decrypt = nil, want an error")
				}
				return
			}
			if !errors.Is(err, tt.want) || (err == nil) != bytes.Equal(got, noise(10)) {
				t.Errorf("Decrypt = %q, %v, want %v", got, err, tt.want)
			}
			if asked := kms.called("DecryptDataKey") - before; tt.want != nil && asked != 0 {
				t.Errorf("the KMS was asked %d times, want 0", asked)
			}
		})
	}
}

// The context in the message is what the KMS gets: another one does not decrypt the data key.
func TestAlteredContextIsRefusedByTheKMS(t *testing.T) {
	kms := &fakeKMS{}
	message := mustEncrypt(t, kms, noise(10), EncryptOptions{Context: map[string]string{"tenant": "17"}})
	altered := bytes.Replace(message, []byte("17"), []byte("18"), 1)
	_, err := decryptBytes(t, kms, altered, DecryptOptions{Context: map[string]string{"tenant": "18"}})
	if !errors.Is(err, ErrNoDataKey) || !errors.Is(err, errFakeCiphertext) {
		t.Errorf("Decrypt = %v, want %v and the KMS's own error", err, ErrNoDataKey)
	}
}

func TestSeveralDataKeys(t *testing.T) {
	kms := &fakeKMS{}
	broken := encryptedDataKey{provider: providerAWSKMS, info: []byte(arnB), ciphertext: []byte("not one")}
	raw := encryptedDataKey{provider: "raw", info: []byte(arnA), ciphertext: []byte("not asked for")}
	with := func(keys ...encryptedDataKey) func(*header) {
		return func(h *header) { h.keys = append(keys, h.keys...) }
	}
	f := newForge(t, kms, with(raw, broken, broken))
	message := slices.Concat(f.header(t), f.frame(content3, true))
	got, err := decryptBytes(t, kms, message, DecryptOptions{})
	if err != nil || string(got) != content3 || kms.called("DecryptDataKey") != 3 {
		t.Errorf("Decrypt = %q, %v after %d calls, want %q after 3", got, err, kms.called("DecryptDataKey"), content3)
	}
	if got, err = decryptBytes(t, kms, message, DecryptOptions{KeyIDs: []string{arnA}}); err != nil || kms.called("DecryptDataKey") != 4 {
		t.Errorf("Decrypt = %q, %v after %d calls, want one call more, for the key accepted", got, err, kms.called("DecryptDataKey"))
	}
	if _, err = decryptBytes(t, kms, message, DecryptOptions{MaxDataKeys: 3}); !errors.Is(err, ErrLimit) {
		t.Errorf("Decrypt of 4 data keys with at most 3 = %v, want %v", err, ErrLimit)
	}
	if _, err = decryptBytes(t, kms, message, DecryptOptions{KeyIDs: []string{arnB}}); !errors.Is(err, ErrNoDataKey) {
		t.Errorf("Decrypt accepting only keys that do not work = %v, want %v", err, ErrNoDataKey)
	}
}

// A KMS that decrypts with another key than the header names is not believed.
func TestAnotherKeyThanNamedIsRefused(t *testing.T) {
	kms := &fakeKMS{}
	message := mustEncrypt(t, kms, noise(10), EncryptOptions{})
	liar := badKMS{DataKey{Plaintext: crypto.RandomSecret(32), KeyARN: arnB}}
	if _, err := decryptBytes(t, liar, message, DecryptOptions{}); !errors.Is(err, ErrNoDataKey) {
		t.Errorf("Decrypt = %v, want %v", err, ErrNoDataKey)
	}
	if !liar.Plaintext.IsZero() {
		t.Errorf("the data key of the wrong key is not wiped")
	}
}

func TestNothingIsReleasedBeforeItIsAuthentic(t *testing.T) {
	kms := &fakeKMS{}
	message := mustEncrypt(t, kms, noise(50*MinFrameLength), EncryptOptions{FrameLength: MinFrameLength})
	size := 4 + ivLength + MinFrameLength + tagLength
	_, body, _, err := readHeader(bytes.NewReader(message), 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []int{0, 1, 7, 48, 49} {
		altered := bytes.Clone(message)
		altered[len(body)+tagLength+bad*size+100] ^= 0x80
		var out bytes.Buffer
		info, err := Decrypt(t.Context(), kms, &out, bytes.NewReader(altered), DecryptOptions{Workers: 4})
		if !errors.Is(err, ErrAltered) || info.Bytes != 0 {
			t.Errorf("Decrypt with frame %d altered = %+v, %v, want %v", bad, info, err, ErrAltered)
		}
		if !bytes.Equal(out.Bytes(), noise(50 * MinFrameLength)[:bad*MinFrameLength]) {
			t.Errorf("Decrypt with frame %d altered released %d bytes, want the %d before it", bad, out.Len(), bad*MinFrameLength)
		}
	}
}

// Frames come out as they arrive, not at the end.
func TestFramesAreReleasedWhileTheSourceIsOpen(t *testing.T) {
	kms := &fakeKMS{}
	message := mustEncrypt(t, kms, noise(3*MinFrameLength), EncryptOptions{FrameLength: MinFrameLength})
	in, feed := io.Pipe()
	out, released := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := Decrypt(t.Context(), kms, released, in, DecryptOptions{})
		released.CloseWithError(err)
		done <- err
	}()
	go func() { _, _ = feed.Write(message[:len(message)-1]) }()
	first := make([]byte, 2*MinFrameLength)
	if _, err := io.ReadFull(out, first); err != nil || !bytes.Equal(first, noise(3 * MinFrameLength)[:len(first)]) {
		t.Errorf("the first two frames: %v, want them while the third is on its way", err)
	}
	go func() {
		_, _ = feed.Write(message[len(message)-1:])
		feed.Close()
	}()
	rest, err := io.ReadAll(out)
	if err != nil || len(rest) != MinFrameLength {
		t.Errorf("the rest is %d bytes, %v, want %d", len(rest), err, MinFrameLength)
	}
	if err := <-done; err != nil {
		t.Errorf("Decrypt = %v, want nil", err)
	}
}
