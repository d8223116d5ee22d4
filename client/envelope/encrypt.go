package envelope

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
)

// EncryptOptions says how Encrypt encrypts.
type EncryptOptions struct {
	// KeyID names the key of the KMS: a key id, key ARN, alias name or alias ARN. Required.
	KeyID string
	// Context is the encryption context: it is authenticated, stands in the message in the clear, and is needed
	// to decrypt the data key. Keys that begin with "aws-crypto-" are reserved. nil is an empty one.
	Context map[string]string
	// FrameLength is the length of the frames in bytes, from MinFrameLength to MaxFrameLength: what
	// Decrypt holds back until it is authenticated. 0 means DefaultFrameLength.
	FrameLength int
	// Workers is how many frames are sealed at the same time, at most 64. 0 means GOMAXPROCS.
	Workers int
	// Progress, unless nil, is called after each frame written with the bytes of plaintext so far, in the
	// goroutine that called Encrypt.
	Progress func(bytes int64)
}

func (o EncryptOptions) check() error {
	if o.KeyID == "" {
		return errors.New("no key to encrypt under")
	}
	if o.FrameLength < MinFrameLength || o.FrameLength > MaxFrameLength {
		return fmt.Errorf("a frame length of %d bytes, want %d to %d", o.FrameLength, MinFrameLength, MaxFrameLength)
	}
	if o.Workers < 0 {
		return fmt.Errorf("%d workers", o.Workers)
	}
	return checkContext(o.Context)
}

// Encrypt reads src to its end and writes it to dst as one message, encrypted under a data key of kms. It holds two
// frames per worker in memory, but not more than 64 MiB of them, or two frames if those are longer.
//
// dst is written to in the goroutine that called, src is read in another once there is more than one frame. When
// Encrypt returns an error, dst may hold the beginning of a message, which Decrypt refuses as truncated. After a failed
// write or the end of ctx it still waits for a Read of src that is under way: close src to end that.
func Encrypt(ctx context.Context, kms KMS, dst io.Writer, src io.Reader, o EncryptOptions) (Info, error) {
	if o.FrameLength == 0 {
		o.FrameLength = DefaultFrameLength
	}
	if err := o.check(); err != nil {
		return Info{}, fmt.Errorf("encrypting: %w", err)
	}
	info, err := encrypt(ctx, kms, dst, src, o)
	if err != nil {
		return Info{}, fmt.Errorf("encrypting: %w", err)
	}
	return info, nil
}

func encrypt(ctx context.Context, kms KMS, dst io.Writer, src io.Reader, o EncryptOptions) (Info, error) {
	// The first frame is read before the data key is asked for, to know whether it is the whole message: a
	// cache hands out a key it keeps only for a known number of bytes.
	plain := &plainFrames{src: src, frameLength: o.FrameLength}
	first := &frame{seq: 1}
	if err := plain.fill(first); err != nil {
		return Info{}, err
	}
	defer clear(first.buf)
	dataKey, err := generate(ctx, kms, o, first)
	if err != nil {
		return Info{}, fmt.Errorf("asking for a data key: %w", err)
	}
	defer dataKey.Plaintext.Wipe()

	h := header{
		context:     o.Context,
		keys:        []encryptedDataKey{{provider: providerAWSKMS, info: []byte(dataKey.KeyARN), ciphertext: dataKey.Ciphertext}},
		framed:      true,
		frameLength: o.FrameLength,
	}
	rand.Read(h.messageID[:])
	key, commitment, err := deriveMessageKey(dataKey.Plaintext, h.messageID)
	if err != nil {
		return Info{}, err
	}
	h.commitment = commitment
	body, err := h.append(nil)
	if err != nil {
		return Info{}, err
	}
	tag := key.headerTag(body)
	if err := writeAll(dst, append(body, tag[:]...)); err != nil {
		return Info{}, err
	}

	p := newPipeline(dst, o.FrameLength, o.Workers, o.Progress)
	p.fill = plain.fill
	p.work = func(f *frame) error { sealFrame(key, h.messageID, f); return nil }
	if err := p.run(ctx, first); err != nil {
		return Info{}, err
	}
	return Info{
		KeyARN: dataKey.KeyARN, Context: contextCopy(o.Context), MessageID: h.messageID, FrameLength: o.FrameLength, Bytes: p.bytes,
	}, nil
}

// generate asks kms for the data key of a message that begins with the frame first.
func generate(ctx context.Context, kms KMS, o EncryptOptions, first *frame) (DataKey, error) {
	if c, ok := kms.(*Cache); ok && first.final {
		return c.generateFor(ctx, o.KeyID, o.Context, int64(first.n))
	}
	return kms.GenerateDataKey(ctx, o.KeyID, o.Context)
}

func contextCopy(context map[string]string) map[string]string {
	c := make(map[string]string, len(context))
	maps.Copy(c, context)
	return c
}

var errTooManyFrames = errors.New("more frames than a message may have: use a longer frame length")

// plainFrames cuts src into frames. The last one is as long as the others if the length of src is a multiple of that;
// only an empty src has an empty frame. So it reads one byte ahead to know whether a full frame is the last.
type plainFrames struct {
	src         io.Reader
	frameLength int
	next        byte // read ahead
	ahead       bool
}

// fill reads the content of frame f.seq to buf[headRoom:].
func (s *plainFrames) fill(f *frame) error {
	at := headRoom
	if s.ahead {
		f.grow(headRoom + 1)
		f.buf[at] = s.next
		at++
	}
	k, err := f.read(s.src, at, headRoom+s.frameLength+1-at)
	f.n = at - headRoom + k
	if err == io.EOF {
		f.final = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	if f.seq == math.MaxUint32 { // marks the end, so that no frame but the last may have it
		return errTooManyFrames
	}
	f.n = s.frameLength
	s.next, s.ahead = f.buf[headRoom+s.frameLength], true
	return nil
}

// sealFrame encrypts the content of f in place and writes the frame's header before it.
func sealFrame(key messageKey, messageID [messageIDLength]byte, f *frame) {
	f.grow(headRoom + f.n + tagLength)
	label, start := labelFrame, headRoom-ivLength-4
	if f.final {
		label, start = labelFinalFrame, 0
	}
	content := f.buf[headRoom : headRoom+f.n]
	key.seal(content[:0], f.seq, content, frameAAD(messageID, label, f.seq, f.n))

	nonce := iv(f.seq)
	head := f.buf[start:start]
	if f.final {
		head = binary.BigEndian.AppendUint32(head, math.MaxUint32)
	}
	head = binary.BigEndian.AppendUint32(head, f.seq)
	head = append(head, nonce[:]...)
	if f.final {
		binary.BigEndian.AppendUint32(head, uint32(f.n))
	}
	f.out = f.buf[start : headRoom+f.n+tagLength]
}
