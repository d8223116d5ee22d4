package aws

import (
	"bytes"
	"encoding/base64"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func (d *jsonDecoder) text(f *member, listed bool) (protoreflect.Value, error) {
	b, ok := d.str()
	if !ok {
		return none, errNotJSON
	}
	if !listed && f.bounds.most > 0 {
		d.findings.length(utf8.RuneCount(b), d.path+f.label, f.bounds)
	}
	return protoreflect.ValueOfString(string(b)), nil
}

func (d *jsonDecoder) enum(f *member, listed bool) (protoreflect.Value, error) {
	b, ok := d.str()
	if !ok {
		return none, errNotJSON
	}
	if n, ok := f.enum.numbers[string(b)]; ok {
		return protoreflect.ValueOfEnum(n), nil
	}
	if e := f.enum.refused[string(b)]; e != nil {
		if d.refused == nil {
			d.refused = e
		}
		return none, nil
	}
	constraint := "Member must satisfy enum value set: " + f.enum.set
	switch {
	case !listed:
		d.findings.quote(string(b), d.path+f.label, constraint)
	case quotable(string(b)):
		d.findings.tell("Value '["+string(b)+"]' at '"+d.path+f.label+"'", "Member must satisfy constraint: ["+constraint+"]")
	default:
		d.findings.add(d.path+f.label, "Member must satisfy constraint: ["+constraint+"]")
	}
	return none, nil
}

// blob reads base64 (RFC 4648, section 4) with padding and without line breaks.
func (d *jsonDecoder) blob(f *member) (protoreflect.Value, error) {
	start := d.at + 1
	end := bytes.IndexByte(d.in[start:], '"')
	if end < 0 {
		return none, errNotJSON
	}
	src := d.in[start : start+end]
	if bytes.IndexByte(src, '\\') < 0 {
		d.at = start + end + 1
	} else if b, ok := d.str(); ok {
		src = b
	} else {
		return none, errNotJSON
	}
	if len(src)%4 != 0 {
		return none, serialization("Base64 encoded length is expected a multiple of 4 bytes but found: " + strconv.Itoa(len(src)))
	}
	size := len(src) / 4 * 3
	if bytes.HasSuffix(src, []byte("==")) {
		size -= 2
	} else if bytes.HasSuffix(src, []byte("=")) {
		size--
	}
	out := make([]byte, len(src)/4*3)
	// The decoder passes over line breaks: then it finds too little.
	n, err := base64.StdEncoding.Strict().Decode(out, src)
	if err != nil || n != size {
		clear(out)
		return none, serialization("only base-64-encoded strings are convertible to bytes")
	}
	d.findings.length(n, d.path+f.label, f.bounds)
	return protoreflect.ValueOfBytes(out[:n:n]), nil
}

func (d *jsonDecoder) notBlob() error {
	switch d.next() {
	case '{':
		return errStartOfStructure
	case '[':
		return errStartOfList
	}
	return serialization("only base-64-encoded strings are convertible to bytes")
}

// integer reads an integer, which may be written with a fraction of zeros or an exponent.
func (d *jsonDecoder) integer(f *member, name string, least, most int64) (protoreflect.Value, error) {
	if !d.atNumber() {
		return none, d.mismatch(name)
	}
	text, whole, ok := d.number()
	if !ok {
		return none, errNotJSON
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if !whole {
		var x float64
		x, err = strconv.ParseFloat(string(text), 64)
		n = int64(x)
		if math.Abs(x) > 1<<53 || float64(n) != x {
			return none, serialization("DECIMAL_VALUE cannot be converted to " + name)
		}
	}
	if err != nil || n < least || n > most {
		return none, serialization("NUMBER_VALUE cannot be converted to " + name)
	}
	d.findings.value(n, d.path+f.label, f.bounds)
	switch f.kind {
	case kindInteger:
		return protoreflect.ValueOfInt32(int32(n)), nil
	case kindLong:
		return protoreflect.ValueOfInt64(n), nil
	}
	return protoreflect.ValueOfUint32(uint32(n)), nil
}

// The first and the last second that a timestamp can tell: of the years 1 to 9999.
const (
	firstSecond = -62135596800
	lastSecond  = 253402300799
)

// time reads seconds since 1970, to the millisecond.
func (d *jsonDecoder) time() (protoreflect.Value, error) {
	if !d.atNumber() {
		return none, d.mismatch("Timestamp")
	}
	text, _, ok := d.number()
	if !ok {
		return none, errNotJSON
	}
	x, err := strconv.ParseFloat(string(text), 64)
	if err != nil || x < firstSecond || x > lastSecond {
		return none, serialization("NUMBER_VALUE cannot be converted to Timestamp")
	}
	return protoreflect.ValueOfMessage(timestamppb.New(time.UnixMilli(int64(math.Round(x * 1000)))).ProtoReflect()), nil
}

func (d *jsonDecoder) atNumber() bool {
	c := d.next()
	return c == '-' || c >= '0' && c <= '9'
}
