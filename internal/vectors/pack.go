package vectors

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
)

// The files consist of long hexadecimal strings, many of which come again and again: compressed one by one they take
// 9.4 MB, packed 6.4. A packed file has every string of 64 or more hexadecimal digits replaced by "#offset:length",
// which means that range of the bytes that all files share.
var (
	longHex   = regexp.MustCompile(`"(?:[0-9a-f]{2}){32,}"`)
	reference = regexp.MustCompile(`"#[0-9]+:[0-9]+"`)
)

// Packer packs files. Their shared bytes are Shared, once all are packed. The zero value is ready.
type Packer struct {
	Shared []byte
	at     map[string]int // :: hexadecimal → offset
}

// Pack returns the packed form of a file.
func (p *Packer) Pack(file []byte) ([]byte, error) {
	if reference.Match(file) {
		return nil, errors.New("the file has a string that looks like a reference")
	}
	if p.at == nil {
		p.at = map[string]int{}
	}
	var broken error
	packed := longHex.ReplaceAllFunc(file, func(quoted []byte) []byte {
		digits := quoted[1 : len(quoted)-1]
		offset, ok := p.at[string(digits)]
		if !ok {
			offset = len(p.Shared)
			p.at[string(digits)] = offset
			p.Shared, broken = hex.AppendDecode(p.Shared, digits)
		}
		return fmt.Appendf(nil, `"#%d:%d"`, offset, len(digits)/2)
	})
	return packed, broken
}

// Unpack returns the file that Pack packed.
func Unpack(packed, shared []byte) ([]byte, error) {
	var broken error
	file := reference.ReplaceAllFunc(packed, func(ref []byte) []byte {
		var offset, length int
		if _, err := fmt.Sscanf(string(ref), `"#%d:%d"`, &offset, &length); err != nil || offset > len(shared) || length > len(shared)-offset {
			broken = fmt.Errorf("reference %s leads out of the bytes", ref)
			return nil
		}
		return fmt.Appendf(nil, `"%x"`, shared[offset:offset+length])
	})
	return file, broken
}

// Compress returns b in the gzip format. The same b always gives the same bytes.
func Compress(b []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func decompress(b []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
