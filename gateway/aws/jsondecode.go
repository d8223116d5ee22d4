package aws

import (
	"bytes"
	"math"
	"strconv"

	"google.golang.org/protobuf/reflect/protoreflect"

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
		if f.twin == nil { // what the other name has said stands
			m.Clear(f.field)
		}
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
		d.agree(f, m, v)
		m.Set(f.field, v)
	}
	return true, err
}

// agree refuses a value that differs from what the field's other name has said: which of the two is meant, nobody knows.
func (d *jsonDecoder) agree(f *member, m protoreflect.Message, v protoreflect.Value) {
	if f.twin == nil || !m.Has(f.field) || m.Get(f.field).Equal(v) || d.refused != nil {
		return
	}
	first, second := f, f.twin
	if first.older {
		first, second = second, first
	}
	d.refused = &front.Error{Reason: reasonValidation, Message: "You cannot specify both " + first.name + " and " + second.name + "."}
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
