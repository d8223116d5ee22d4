package envelope

import (
	"bufio"
	"context"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"unicode/utf8"
)

// DecryptOptions says what Decrypt accepts. The zero value accepts every message that the KMS decrypts.
type DecryptOptions struct {
	// Context is what the message's encryption context must contain: these keys with exactly these values. The
	// message may have more.
	Context map[string]string
	// KeyIDs are the ARNs of the keys whose data keys are accepted; the KMS is not asked about others. Empty: any.
	KeyIDs []string
	// MaxDataKeys is how many encrypted data keys a message may have, which bounds the calls of the KMS. 0 means
	// DefaultMaxDataKeys.
	MaxDataKeys int
	// Workers is how many frames are opened at the same time, at most 64. 0 means GOMAXPROCS.
	Workers int
	// Progress, unless nil, is called after each frame written with the bytes of plaintext so far, in the
	// goroutine that called Decrypt.
	Progress func(bytes int64)
}

// Decrypt reads one message from src, to the end of src, and writes its plaintext to dst.
//
// It writes each frame once it is authenticated, in order, and never a byte of one that is not. The message as a
// whole is authentic only when Decrypt returns nil: until then it may turn out to be truncated. A caller who cannot
// take back what it did with the bytes waits for that; one who writes a file deletes it after an error.
//
// The header is parsed, and Context, KeyIDs and the limits are checked, before kms is asked. Memory, goroutines and
// ctx are as with Encrypt, for the frame length of the message.
func Decrypt(ctx context.Context, kms KMS, dst io.Writer, src io.Reader, o DecryptOptions) (Info, error) {
	if o.MaxDataKeys == 0 {
		o.MaxDataKeys = DefaultMaxDataKeys
	}
	if o.MaxDataKeys < 0 || o.Workers < 0 {
		return Info{}, fmt.Errorf("decrypting: at most %d data keys, %d workers", o.MaxDataKeys, o.Workers)
	}
	info, err := decrypt(ctx, kms, dst, src, o)
	if err != nil {
		return Info{}, fmt.Errorf("decrypting: %w", err)
	}
	return info, nil
}

func decrypt(ctx context.Context, kms KMS, dst io.Writer, src io.Reader, o DecryptOptions) (Info, error) {
	src = bufio.NewReaderSize(src, 64<<10)
	h, body, tag, err := readHeader(src, o.MaxDataKeys)
	if err != nil {
		return Info{}, err
	}
	for k, want := range o.Context {
		if got, ok := h.context[k]; !ok || got != want {
			return Info{}, fmt.Errorf("%w: the message does not have a pair that is required", ErrContext)
		}
	}
	dataKey, err := openDataKey(ctx, kms, h, o.KeyIDs)
	if err != nil {
		return Info{}, err
	}
	defer dataKey.Plaintext.Wipe()
	key, err := openHeader(dataKey, h, body, tag)
	if err != nil {
		return Info{}, err
	}

	frames := &sealedFrames{src: src, framed: h.framed, frameLength: h.frameLength}
	first := &frame{seq: 1}
	if err := frames.fill(first); err != nil {
		return Info{}, err
	}
	p := newPipeline(dst, max(h.frameLength, 1), o.Workers, o.Progress)
	p.fill = frames.fill
	p.work = func(f *frame) error { return openFrame(key, h.messageID, h.framed, f) }
	if err := p.run(ctx, first); err != nil {
		return Info{}, err
	}
	return Info{
		KeyARN: dataKey.KeyARN, Context: h.context, MessageID: h.messageID, FrameLength: h.frameLength, Bytes: p.bytes,
	}, nil
}

// openDataKey asks kms for the first of the message's data keys that it decrypts and the caller accepts.
func openDataKey(ctx context.Context, kms KMS, h header, keyIDs []string) (DataKey, error) {
	var refusals []error
	for _, k := range h.keys {
		arn := string(k.info)
		if k.provider != providerAWSKMS || !utf8.ValidString(arn) {
			continue
		}
		if len(keyIDs) > 0 && !slices.Contains(keyIDs, arn) {
			continue
		}
		dataKey, err := kms.DecryptDataKey(ctx, arn, k.ciphertext, contextCopy(h.context))
		if err == nil && dataKey.KeyARN != arn {
			dataKey.Plaintext.Wipe()
			err = errors.New("decrypted by another key than the message names")
		}
		if err == nil {
			return dataKey, nil
		}
		if ctx.Err() != nil {
			return DataKey{}, fmt.Errorf("asking for the data key: %w", err)
		}
		refusals = append(refusals, err)
	}
	if len(refusals) > 0 {
		return DataKey{}, fmt.Errorf("%w: %w", ErrNoDataKey, errors.Join(refusals...))
	}
	return DataKey{}, ErrNoDataKey
}

// openHeader derives the message's key, and authenticates the header.
func openHeader(dataKey DataKey, h header, body []byte, tag [tagLength]byte) (messageKey, error) {
	key, commitment, err := deriveMessageKey(dataKey.Plaintext, h.messageID)
	if err != nil {
		return messageKey{}, err
	}
	if subtle.ConstantTimeCompare(commitment[:], h.commitment[:]) != 1 {
		return messageKey{}, ErrCommitment
	}
	if _, err := key.open(nil, 0, tag[:], body); err != nil {
		return messageKey{}, fmt.Errorf("%w: its header", ErrAltered)
	}
	return key, nil
}

// sealedFrames reads the body of a message whose header is authentic.
type sealedFrames struct {
	src         io.Reader
	framed      bool
	frameLength int
}

// fill reads the content and tag of frame f.seq to buf. After the final frame it makes sure that nothing follows.
func (s *sealedFrames) fill(f *frame) error {
	head := s.frameHead
	if !s.framed {
		head = s.blockHead
	}
	if err := head(f); err != nil {
		return err
	}
	if _, err := f.read(s.src, 0, f.n+tagLength); err != nil {
		return readError(err)
	}
	if !f.final {
		return nil
	}
	var next [1]byte
	n, err := readFull(s.src, next[:])
	switch {
	case n > 0:
		return ErrTrailing
	case err != io.EOF:
		return readError(err)
	}
	return nil
}

// frameHead reads the header of frame f.seq: its number, after the end mark if it is the final one, its IV, and if it
// is the final one its length.
func (s *sealedFrames) frameHead(f *frame) error {
	seq, err := s.uint32()
	if err != nil {
		return err
	}
	if f.final = seq == math.MaxUint32; f.final {
		if seq, err = s.uint32(); err != nil {
			return err
		}
	}
	if seq != f.seq {
		return fmt.Errorf("%w: frame %d in the place of frame %d", ErrAltered, seq, f.seq)
	}
	if err := s.iv(f.seq); err != nil {
		return err
	}
	f.n = s.frameLength
	if !f.final {
		return nil
	}
	length, err := s.uint32()
	if err != nil {
		return err
	}
	if uint64(length) > uint64(s.frameLength) {
		return fmt.Errorf("%w: final frame longer than a frame", ErrAltered)
	}
	f.n = int(length)
	return nil
}

// blockHead reads what is before the content of a message without frames: the IV of frame 1, and the length. They are
// authenticated with the content, so a length is at most a limit passed before that.
func (s *sealedFrames) blockHead(f *frame) error {
	if err := s.iv(1); err != nil {
		return err
	}
	var b [8]byte
	if _, err := readFull(s.src, b[:]); err != nil {
		return readError(err)
	}
	length := binary.BigEndian.Uint64(b[:])
	if length > MaxFrameLength {
		return fmt.Errorf("%w: no frames, and longer than %d bytes", ErrLimit, MaxFrameLength)
	}
	f.n, f.final = int(length), true
	return nil
}

func (s *sealedFrames) uint32() (uint32, error) {
	var b [4]byte
	if _, err := readFull(s.src, b[:]); err != nil {
		return 0, readError(err)
	}
	return binary.BigEndian.Uint32(b[:]), nil
}

// iv reads an IV, which has only one right value.
func (s *sealedFrames) iv(seq uint32) error {
	var b [ivLength]byte
	if _, err := readFull(s.src, b[:]); err != nil {
		return readError(err)
	}
	if b != iv(seq) {
		return fmt.Errorf("%w: IV of frame %d", ErrAltered, seq)
	}
	return nil
}

// openFrame decrypts the content of f in place. If that fails, nothing of it is left.
func openFrame(key messageKey, messageID [messageIDLength]byte, framed bool, f *frame) error {
	label := labelFrame
	switch {
	case !framed:
		label = labelSingleBlock
	case f.final:
		label = labelFinalFrame
	}
	sealed := f.buf[:f.n+tagLength]
	out, err := key.open(sealed[:0], f.seq, sealed, frameAAD(messageID, label, f.seq, f.n))
	if err != nil {
		clear(sealed)
		return fmt.Errorf("%w: frame %d", ErrAltered, f.seq)
	}
	f.out = out
	return nil
}
