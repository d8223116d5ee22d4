package envelope

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Identifiers of the message format.
const (
	formatVersion1 = 0x01
	formatVersion2 = 0x02

	suiteCommitKey          = 0x0478 // AES_256_GCM_HKDF_SHA512_COMMIT_KEY
	suiteCommitKeyECDSAP384 = 0x0578

	contentNonFramed = 0x01
	contentFramed    = 0x02

	messageIDLength  = 32
	commitmentLength = 32
	tagLength        = 16
	ivLength         = 12

	// providerAWSKMS says that the key information is a key's ARN and the ciphertext an answer of a KMS.
	providerAWSKMS = "aws-kms"

	// reservedPrefix begins the context keys that the format keeps for itself.
	reservedPrefix = "aws-crypto-"
	// publicKeyContext is set in messages with a signature, and only in those.
	publicKeyContext = "aws-crypto-public-key"
)

// encryptedDataKey is one of a message's data keys, as its header has it.
type encryptedDataKey struct {
	provider   string
	info       []byte
	ciphertext []byte
}

// header is a message header, version 2.0, suite 0x0478.
type header struct {
	messageID   [messageIDLength]byte
	context     map[string]string
	keys        []encryptedDataKey
	framed      bool
	frameLength int // 0 if not framed
	commitment  [commitmentLength]byte
}

// append adds the header body to b: everything that the header's tag authenticates.
func (h *header) append(b []byte) ([]byte, error) {
	b = append(b, formatVersion2)
	b = binary.BigEndian.AppendUint16(b, suiteCommitKey)
	b = append(b, h.messageID[:]...)
	b, err := appendContext(b, h.context)
	if err != nil {
		return nil, err
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(h.keys)))
	for _, k := range h.keys {
		for _, field := range [][]byte{[]byte(k.provider), k.info, k.ciphertext} {
			if b, err = appendField(b, field); err != nil {
				return nil, fmt.Errorf("writing an encrypted data key: %w", err)
			}
		}
	}
	content := byte(contentNonFramed)
	if h.framed {
		content = contentFramed
	}
	b = append(b, content)
	b = binary.BigEndian.AppendUint32(b, uint32(h.frameLength))
	return append(b, h.commitment[:]...), nil
}

// appendContext adds the encryption context in the format's canonical form: nothing but a zero length if it is empty,
// else length, count, and the pairs in ascending order of their keys' bytes.
func appendContext(b []byte, context map[string]string) ([]byte, error) {
	start := len(b)
	b = append(b, 0, 0)
	if len(context) == 0 {
		return b, nil
	}
	if len(context) > math.MaxUint16 {
		return nil, fmt.Errorf("%w: more than %d pairs", ErrContext, math.MaxUint16)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(context)))
	for _, k := range slices.Sorted(maps.Keys(context)) {
		for _, s := range []string{k, context[k]} {
			if !utf8.ValidString(s) {
				return nil, fmt.Errorf("%w: not valid UTF-8", ErrContext)
			}
			var err error
			if b, err = appendField(b, []byte(s)); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrContext, err)
			}
		}
	}
	n := len(b) - start - 2
	if n > math.MaxUint16 {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrContext, math.MaxUint16)
	}
	binary.BigEndian.PutUint16(b[start:], uint16(n))
	return b, nil
}

func appendField(b, field []byte) ([]byte, error) {
	if len(field) > math.MaxUint16 {
		return nil, fmt.Errorf("a field longer than %d bytes", math.MaxUint16)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(field)))
	return append(b, field...), nil
}

// readHeader reads a header and its tag from src and nothing beyond. It also returns the header body as it was
// read. Nothing of it is authentic yet. What parses is what append would write: there is one encoding of each header.
func readHeader(src io.Reader, maxKeys int) (h header, body []byte, tag [tagLength]byte, err error) {
	r := &headerReader{src: src}
	if err := r.prefix(); err != nil {
		return header{}, nil, tag, err
	}
	copy(h.messageID[:], r.take(messageIDLength))
	contextBytes := r.field()
	if r.err == nil {
		h.context, r.err = parseContext(contextBytes)
	}
	h.keys = r.dataKeys(maxKeys)
	content := r.take(1)
	frameLength := binary.BigEndian.Uint32(r.take(4))
	copy(h.commitment[:], r.take(commitmentLength))
	body = r.raw
	copy(tag[:], r.take(tagLength))
	if r.err == nil {
		r.err = h.setContent(content[0], frameLength)
	}
	if r.err != nil {
		return header{}, nil, [tagLength]byte{}, r.err
	}
	return h, body, tag, nil
}

func (h *header) setContent(content byte, frameLength uint32) error {
	switch content {
	case contentFramed:
		if frameLength == 0 {
			return fmt.Errorf("%w: frames of no length", ErrMalformed)
		}
		if frameLength > MaxFrameLength {
			return fmt.Errorf("%w: frames longer than %d bytes", ErrLimit, MaxFrameLength)
		}
		h.framed, h.frameLength = true, int(frameLength)
	case contentNonFramed:
		if frameLength != 0 {
			return fmt.Errorf("%w: no frames, but a frame length", ErrMalformed)
		}
	default:
		return fmt.Errorf("%w: content type %d", ErrMalformed, content)
	}
	return nil
}

// headerReader reads a header field by field, remembers what it read and stops at the first error.
type headerReader struct {
	src io.Reader
	raw []byte
	err error
}

// take reads n bytes. After an error it returns n zero bytes; n is at most 65,535.
func (r *headerReader) take(n int) []byte {
	if r.err == nil && len(r.raw)+n > maxHeaderLength {
		r.err = fmt.Errorf("%w: header longer than %d bytes", ErrLimit, maxHeaderLength)
	}
	if r.err != nil {
		return make([]byte, n)
	}
	start := len(r.raw)
	r.raw = append(r.raw, make([]byte, n)...)
	if _, err := readFull(r.src, r.raw[start:]); err != nil {
		r.err = readError(err)
	}
	return r.raw[start:]
}

func (r *headerReader) uint16() int   { return int(binary.BigEndian.Uint16(r.take(2))) }
func (r *headerReader) field() []byte { return bytes.Clone(r.take(r.uint16())) }

// prefix reads version and suite, and says what it is that cannot be read.
func (r *headerReader) prefix() error {
	version := r.take(1)[0]
	if r.err != nil {
		return r.err
	}
	switch version {
	case formatVersion2:
	case formatVersion1:
		return fmt.Errorf("%w: message format version 1, which has no key commitment", ErrUnsupported)
	case 'A': // how version 1 and 2 begin in base64
		return fmt.Errorf("%w: not binary; it may be base64", ErrMalformed)
	default:
		return fmt.Errorf("%w: not a message of the AWS Encryption SDK", ErrMalformed)
	}
	suite := r.uint16()
	if r.err != nil {
		return r.err
	}
	switch suite {
	case suiteCommitKey:
		return nil
	case suiteCommitKeyECDSAP384:
		return fmt.Errorf("%w: algorithm suite 0x0578, with a signature", ErrUnsupported)
	default:
		return fmt.Errorf("%w: algorithm suite 0x%04x", ErrUnsupported, suite)
	}
}

func (r *headerReader) dataKeys(maxKeys int) []encryptedDataKey {
	n := r.uint16()
	if r.err != nil {
		return nil
	}
	if n == 0 {
		r.err = fmt.Errorf("%w: no encrypted data key", ErrMalformed)
		return nil
	}
	if n > maxKeys {
		r.err = fmt.Errorf("%w: %d encrypted data keys, more than %d", ErrLimit, n, maxKeys)
		return nil
	}
	var keys []encryptedDataKey
	for range n {
		k := encryptedDataKey{provider: string(r.field()), info: r.field(), ciphertext: r.field()}
		if r.err == nil && !utf8.ValidString(k.provider) {
			r.err = fmt.Errorf("%w: key provider id is not valid UTF-8", ErrMalformed)
		}
		if r.err != nil {
			return nil
		}
		keys = append(keys, k)
	}
	return keys
}

var errContextForm = fmt.Errorf("%w: encryption context is not in canonical form", ErrMalformed)

// parseContext is the inverse of appendContext, less the leading length.
func parseContext(b []byte) (map[string]string, error) {
	context := map[string]string{} // :: key → value
	if len(b) == 0 {
		return context, nil
	}
	n, b, ok := cutUint16(b)
	if !ok || n == 0 {
		return nil, errContextForm
	}
	last := ""
	for i := range n {
		k, rest, ok := cutField(b)
		v, rest, ok2 := cutField(rest)
		if !ok || !ok2 || !utf8.ValidString(k) || !utf8.ValidString(v) {
			return nil, errContextForm
		}
		if i > 0 && cmp.Compare(last, k) >= 0 {
			return nil, errContextForm // out of order, or a key twice
		}
		context[k], last, b = v, k, rest
	}
	if len(b) > 0 {
		return nil, errContextForm
	}
	if _, ok := context[publicKeyContext]; ok {
		return nil, fmt.Errorf("%w: the context of a message with a signature, in one without", ErrMalformed)
	}
	return context, nil
}

func cutUint16(b []byte) (n int, rest []byte, ok bool) {
	if len(b) < 2 {
		return 0, nil, false
	}
	return int(binary.BigEndian.Uint16(b)), b[2:], true
}

func cutField(b []byte) (field string, rest []byte, ok bool) {
	n, b, ok := cutUint16(b)
	if !ok || n > len(b) {
		return "", nil, false
	}
	return string(b[:n]), b[n:], true
}

// checkContext refuses what a caller may not put into a message.
func checkContext(context map[string]string) error {
	for k := range context {
		if strings.HasPrefix(k, reservedPrefix) {
			return fmt.Errorf("%w: keys that begin with %s are reserved", ErrContext, reservedPrefix)
		}
	}
	_, err := appendContext(nil, context)
	return err
}

// maxEmptyReads is how many reads in a row may return neither bytes nor an error.
const maxEmptyReads = 100

// readFull fills b. Unlike io.ReadFull it returns io.EOF whenever src ends, and an io.ErrUnexpectedEOF only if that is
// src's own error.
func readFull(src io.Reader, b []byte) (n int, err error) {
	for empty := 0; n < len(b); {
		k, err := src.Read(b[n:])
		n += k
		if n == len(b) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if k > 0 {
			empty = 0
		} else if empty++; empty == maxEmptyReads {
			return n, io.ErrNoProgress
		}
	}
	return n, nil
}

// readError turns the end of src into ErrTruncated.
func readError(err error) error {
	if err == io.EOF {
		return ErrTruncated
	}
	return fmt.Errorf("reading: %w", err)
}
