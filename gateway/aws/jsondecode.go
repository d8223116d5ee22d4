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

	"github.com/kmsd/kmsd/internal/front"
)

// maxEntries bounds lists and maps, so that a small body does not become a large message. kmsd takes fewer everywhere.
const maxEntries = 1024

// jsonDecoder reads a request into a message, in one pass.
type jsonDecoder struct {
	jsonReader
	findings findings
	refused  *front.Error // the first of what kmsd cannot do
	path     string       // of the structure that is read, as validation names it: "tags.1.member."
}

// structure reads an object, which begins here.
func (d *jsonDecoder) structure(s *shape, m protoreflect.Message) error {
	if d.depth++; d.depth > maxDepth {
		return errNotJSON
	}
	defer func() { d.depth-- }()
	var seen uint64 // of the members that must be there, by their numbers
	err := d.object(func(name []byte) error {
		f := s.members[string(name)]
		if f == nil || !f.in {
			return d.ignore()
		}
		given, err := d.member(f, m)
		if f.required {
			seen &^= 1 << f.must
			if given {
				seen |= 1 << f.must
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	d.missing(s, seen)
	return nil
}

// object reads an object, which begins here, and calls member behind each name to read the value. The name is valid until the next string.
func (d *jsonDecoder) object(member func(name []byte) error) error {
	d.at++
	if d.take('}') {
		return nil
	}
	for {
		if d.next() != '"' {
			return errNotJSON
		}
		name, ok := d.str()
		if !ok {
			return errNotJSON
		}
		// The name may lie in the scratch, and is used before anything else is read into that.
		if !d.take(':') {
			return errNotJSON
		}
		if err := member(name); err != nil {
			return err
		}
		if d.take('}') {
			return nil
		}
		if !d.take(',') {
			return errNotJSON
		}
	}
}

// missing tells which members that a request must have are not among those seen.
func (d *jsonDecoder) missing(s *shape, seen uint64) {
	if seen == 1<<s.required-1 {
		return
	}
	for _, f := range s.ordered {
		if f.required && seen&(1<<f.must) == 0 {
			d.findings.null(d.path + f.label)
		}
	}
}

func (d *jsonDecoder) ignore() error {
	if !d.skip() {
		return errNotJSON
	}
	return nil
}

// member reads the value of f into m, and tells whether it was other than null, which takes an earlier one back.
func (d *jsonDecoder) member(f *member, m protoreflect.Message) (given bool, err error) {
	c := d.next()
	if f.refused {
		return false, d.refuse(f)
	}
	if c == 'n' {
		m.Clear(f.field)
		return false, d.ignore()
	}
	switch {
	case f.dict:
		return true, d.dict(f, m)
	case f.list:
		return true, d.list(f, m)
	}
	v, err := d.value(f, m, nil)
	if err == nil && v.IsValid() {
		m.Set(f.field, v)
	}
	return true, err
}

// refuse reads the value of a member that kmsd cannot do. What asks for nothing is no reason to refuse: null, false, and what is empty.
func (d *jsonDecoder) refuse(f *member) error {
	start := d.at
	if err := d.ignore(); err != nil {
		return err
	}
	switch value := d.in[start:d.at]; value[0] {
	case 'n', 'f':
		return nil
	case '[', '{', '"':
		if len(bytes.TrimSpace(value[1:len(value)-1])) == 0 {
			return nil
		}
	}
	if d.refused == nil {
		d.refused = &front.Error{Reason: reasonUnsupported, Message: "kmsd does not have " + f.name + "."}
	}
	return nil
}

// dict reads an object of texts.
func (d *jsonDecoder) dict(f *member, m protoreflect.Message) error {
	switch d.next() {
	case '{':
	case '[':
		return errStartOfList
	default:
		return d.unexpected()
	}
	v := m.NewField(f.field)
	entries, n := v.Map(), 0
	err := d.object(func(name []byte) error {
		key := protoreflect.ValueOfString(string(name)).MapKey()
		switch c := d.next(); c {
		case 'n':
			d.findings.add(d.path+f.label, "Map value must satisfy constraint: [Member must not be null]")
			return d.ignore()
		case '"':
		default:
			return d.mismatch("String")
		}
		text, ok := d.str()
		if !ok {
			return errNotJSON
		}
		if n++; n <= maxEntries {
			entries.Set(key, protoreflect.ValueOfString(string(text)))
		}
		return nil
	})
	if err != nil {
		return err
	}
	d.entries(f, n)
	m.Set(f.field, v)
	return nil
}

// list reads an array.
func (d *jsonDecoder) list(f *member, m protoreflect.Message) error {
	switch d.next() {
	case '[':
	case '{':
		return errStartOfStructure
	default:
		return d.unexpected()
	}
	v := m.NewField(f.field)
	entries, n := v.List(), 0
	path := d.path
	d.at++
	for more := !d.take(']'); more; {
		if n++; n > maxEntries {
			if err := d.ignore(); err != nil {
				return err
			}
		} else if d.next() == 'n' {
			d.findings.add(d.path+f.label, "Member must satisfy constraint: [Member must not be null]")
			if err := d.ignore(); err != nil {
				return err
			}
		} else {
			if f.kind == kindStructure {
				d.path = path + f.label + "." + strconv.Itoa(n) + ".member."
			}
			one, err := d.value(f, m, entries)
			d.path = path
			if err != nil {
				return err
			}
			if one.IsValid() {
				entries.Append(one)
			}
		}
		if more = d.take(','); !more && !d.take(']') {
			return errNotJSON
		}
	}
	d.entries(f, n)
	m.Set(f.field, v)
	return nil
}

// entries checks how many a list or map has.
func (d *jsonDecoder) entries(f *member, n int) {
	b := f.bounds
	if b.most == 0 {
		b.most = maxEntries
	}
	d.findings.length(n, d.path+f.label, b)
}

// value reads one value of the kind of f, for m or for the list, if there is one. It is not valid, without an error, if the findings say why.
func (d *jsonDecoder) value(f *member, m protoreflect.Message, list protoreflect.List) (protoreflect.Value, error) {
	listed := list != nil
	switch c := d.next(); f.kind {
	case kindText:
		if c != '"' {
			return none, d.mismatch("String")
		}
		return d.text(f, listed)
	case kindBlob:
		if c != '"' {
			return none, d.notBlob()
		}
		return d.blob(f)
	case kindBoolean:
		switch {
		case c == 't' && d.word("true"):
			return protoreflect.ValueOfBool(true), nil
		case c == 'f' && d.word("false"):
			return protoreflect.ValueOfBool(false), nil
		case c == '"':
			return none, serialization("Unexpected token received from parser")
		}
		return none, d.mismatch("Boolean")
	case kindInteger:
		return d.integer(f, "Integer", math.MinInt32, math.MaxInt32)
	case kindLong:
		return d.integer(f, "Long", math.MinInt64, math.MaxInt64)
	case kindUnsigned:
		return d.integer(f, "Long", 0, math.MaxUint32)
	case kindEnum:
		if c != '"' {
			return none, d.mismatch("String")
		}
		return d.enum(f, listed)
	case kindTime:
		return d.time()
	case kindStructure:
		switch c {
		case '{':
		case '[':
			return none, errStartOfList
		default:
			return none, d.unexpected()
		}
		if listed {
			v := list.NewElement()
			return v, d.structure(f.shape, v.Message())
		}
		v, path := m.NewField(f.field), d.path
		d.path += f.label + "."
		err := d.structure(f.shape, v.Message())
		d.path = path
		return v, err
	}
	panic("aws: internal error: a member of no kind")
}

// none is no value.
var none protoreflect.Value

func (d *jsonDecoder) text(f *member, listed bool) (protoreflect.Value, error) {
	b, ok := d.str()
	if !ok {
		return none, errNotJSON
	}
	if !listed && f.bounds.most > 0 {
		n := len(b)
		if n > f.bounds.most {
			n = utf8.RuneCount(b)
		}
		d.findings.length(n, d.path+f.label, f.bounds)
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
