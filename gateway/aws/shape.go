package aws

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/kmsd/kmsd/internal/front"
)

// shape is a message as AWS writes it: which member stands for which field. It is made once, and never written after.
type shape struct {
	message  protoreflect.MessageDescriptor
	members  map[string]*member // by AWS's name
	ordered  []*member          // by field number, and then what has no field
	required int                // how many members a request must have
	presets  []*member          // what a request without them has another meaning for than kmsd's
}

// member is one member of a shape.
type member struct {
	name  string // AWS's
	label string // as validation names it: "keyId"
	field protoreflect.FieldDescriptor
	kind  kind
	list  bool
	dict  bool   // a map of texts
	shape *shape // of a structure, or of a list of structures
	enum  *enum  // of an enumeration

	in, out  bool   // whether requests and answers have it
	always   bool   // answers have it even if it is the zero value
	required bool   // a request must have it
	must     int    // its number among those of its shape that a request must have
	literal  string // has no field: answers always have this text of JSON in its place
	refused  bool   // has no field: a request that has it, and not as null or false, cannot be carried out
	only     condition
	encoded  bool // Query: the text of answers is URL-encoded, as IAM does with policies
	bounds   bounds
	instead  string // Query: the text of answers where the field is empty
	preset   protoreflect.EnumNumber
	twin     *member // of requests: another name of the same field
	older    bool    // the one of the two that AWS has replaced
}

// condition is when answers have a member: where another field is set, and has the number, if that is not 0. The zero value is always.
type condition struct {
	field  protoreflect.FieldDescriptor
	number protoreflect.EnumNumber
}

// bounds is how much a member of a request may hold, where AWS allows less than kmsd or kmsd could not tell that it was given: characters of a
// text, bytes of a blob, entries of a list or map, the value of a number. The zero value bounds nothing.
type bounds struct{ least, most int }

// kind is what a member, or an entry of a list, looks like.
type kind uint8

const (
	kindText kind = iota
	kindBlob
	kindBoolean
	kindInteger // 32 bits
	kindLong    // 64 bits
	kindUnsigned
	kindEnum
	kindTime
	kindStructure
)

// enum is an enumeration by AWS's names.
type enum struct {
	names   map[protoreflect.EnumNumber]string
	numbers map[string]protoreflect.EnumNumber
	set     string                  // all names, as validation lists them
	refused map[string]*front.Error // what AWS has and kmsd has not
}

// row says in what a field differs from what its descriptor says.
type row struct {
	name    string // AWS's, if it is not the PascalCase of the field's
	silent  bool   // answers do not have it
	always  bool
	encoded bool
	only    string // answers have it only where this field of the message is set; "key_spec=SYMMETRIC_DEFAULT": where it has this value
	bounds  bounds
	blob    bool   // AWS has a blob where kmsd has a text
	instead string // Query: the text of answers where the field is empty
	preset  string // AWS's name of the value that a request without the member means, where kmsd means another
}

// extra is a member that has no field of its own.
type extra struct {
	name    string
	literal string // answers have it, with this text of JSON
	refused bool   // requests must not have it
	field   protoreflect.Name
	names   map[string]string // with field: its enumeration by the names of the proto's → AWS's; nil for the field's own
}

// tables is what the shapes of a service differ in from the descriptors.
type tables struct {
	// rows by the full name of a field without "kmsd.", or else by its bare name for every field of that name.
	rows map[string]row
	// required holds the fields that a request must have, by the full name of its message without "kmsd.".
	required map[string][]protoreflect.Name
	// extras by the full name of a message without "kmsd.".
	extras map[string][]extra
	// pascal holds the enumerations, by full name without "kmsd.", whose values AWS writes in PascalCase.
	pascal map[string]bool
	// refused holds values of enumerations, likewise, that AWS has and kmsd has not.
	refused map[string]map[string]*front.Error
	// names holds the names of values of enumerations, likewise, that are neither the proto's nor PascalCase: the proto's → AWS's.
	names map[string]map[string]string
}

// builder makes the shapes of a service, each message once.
type builder struct {
	tables
	shapes map[protoreflect.FullName]*shape
	used   map[string]bool // rows that applied, and messages and enumerations that are there: for the test that none is misspelt
}

func newBuilder(t tables) *builder {
	return &builder{tables: t, shapes: map[protoreflect.FullName]*shape{}, used: map[string]bool{}}
}

// operations joins the unary methods of a gRPC service with s.
func (b *builder) operations(s *service, d protoreflect.ServiceDescriptor, void map[string]bool) {
	for i := range d.Methods().Len() {
		m := d.Methods().Get(i)
		if m.IsStreamingClient() || m.IsStreamingServer() {
			continue
		}
		name := string(m.Name())
		op := &operation{service: s, name: name, method: "/" + string(d.FullName()) + "/" + name, in: b.shape(m.Input()), out: b.shape(m.Output()), void: void[name]}
		op.token = m.Input().Fields().ByName("client_token")
		op.dryRun = m.Output().Fields().ByName("dry_run")
		s.operations[name] = op
	}
}

// shape is that of a message.
func (b *builder) shape(d protoreflect.MessageDescriptor) *shape {
	if s := b.shapes[d.FullName()]; s != nil {
		return s
	}
	s := &shape{message: d, members: map[string]*member{}}
	b.shapes[d.FullName()] = s // before its members: a message may hold its own kind
	must := b.required[short(d.FullName())]
	b.used[short(d.FullName())] = true
	for i := range d.Fields().Len() {
		m := b.member(d.Fields().Get(i))
		m.required = slices.Contains(must, m.field.Name())
		s.add(m)
	}
	if s.required != len(must) {
		panic(fmt.Sprintf("aws: internal error: %s does not have all of %v", d.FullName(), must))
	}
	for _, e := range b.extras[short(d.FullName())] {
		s.add(b.extra(d, e))
	}
	return s
}

func (s *shape) add(m *member) {
	if s.members[m.name] != nil {
		panic(fmt.Sprintf("aws: internal error: %s has two members %s", s.message.FullName(), m.name))
	}
	m.label = strings.ToLower(m.name[:1]) + m.name[1:]
	if m.required {
		m.must = s.required
		s.required++
	}
	if m.preset != 0 {
		s.presets = append(s.presets, m)
	}
	for _, other := range s.ordered {
		if m.in && other.in && m.field != nil && m.field == other.field {
			m.twin, other.twin = other, m
		}
	}
	s.members[m.name] = m
	s.ordered = append(s.ordered, m)
}

func (b *builder) member(f protoreflect.FieldDescriptor) *member {
	key := short(f.FullName())
	r, ok := b.rows[key]
	if !ok {
		key = string(f.Name())
		r, ok = b.rows[key]
	}
	b.used[key] = b.used[key] || ok
	m := &member{name: r.name, field: f, list: f.IsList(), dict: f.IsMap(), in: true, encoded: r.encoded, instead: r.instead, bounds: r.bounds}
	if m.name == "" {
		m.name = pascal(string(f.Name()))
	}
	m.kind = kindOf(f)
	if r.blob {
		m.kind = kindBlob
	}
	m.out, m.only = !r.silent, conditionOf(f.ContainingMessage(), r.only)
	// What is true or false is told either way, and so is how a page of a list is empty.
	m.always = r.always || m.kind == kindBoolean && !m.list || m.list && isPage(f.ContainingMessage())
	switch m.kind {
	case kindStructure:
		m.shape = b.shape(f.Message())
	case kindEnum:
		m.enum = b.enum(f.Enum(), b.names[short(f.Enum().FullName())])
		m.preset = m.enum.numbers[r.preset]
	}
	if r.preset != "" && m.preset == 0 {
		panic(fmt.Sprintf("aws: internal error: %s has no value %s", f.FullName(), r.preset))
	}
	return m
}

// conditionOf reads a row's only, for a field of d.
func conditionOf(d protoreflect.MessageDescriptor, only string) condition {
	if only == "" {
		return condition{}
	}
	name, value, _ := strings.Cut(only, "=")
	c := condition{field: d.Fields().ByName(protoreflect.Name(name))}
	if value != "" {
		prefix := strings.TrimSuffix(string(c.field.Enum().Values().ByNumber(0).Name()), "UNSPECIFIED")
		c.number = c.field.Enum().Values().ByName(protoreflect.Name(prefix + value)).Number()
	}
	return c
}

// told reports whether the answer m has the member.
func (m *member) told(answer protoreflect.Message) bool {
	switch {
	case !m.out:
		return false
	case m.literal != "":
		return true
	case m.only.field != nil && (!answer.Has(m.only.field) || m.only.number != 0 && answer.Get(m.only.field).Enum() != m.only.number):
		return false
	}
	return m.always || m.instead != "" || answer.Has(m.field)
}

// preset gives a request what it means to AWS without a member, where that is not what kmsd means.
func (s *shape) preset(request protoreflect.Message) {
	for _, m := range s.presets {
		if !request.Has(m.field) {
			request.Set(m.field, protoreflect.ValueOfEnum(m.preset))
		}
	}
}

func (b *builder) extra(d protoreflect.MessageDescriptor, e extra) *member {
	m := &member{name: e.name, literal: e.literal, refused: e.refused, in: e.refused, out: e.literal != ""}
	if e.field == "" {
		return m
	}
	m.field = d.Fields().ByName(e.field)
	m.kind, m.in, m.out = kindOf(m.field), isRequest(d), !isRequest(d)
	m.enum, m.older = b.enum(m.field.Enum(), e.names), true
	return m
}

// kindOf is what a field, or an entry of it, looks like.
func kindOf(f protoreflect.FieldDescriptor) kind {
	if f.IsMap() {
		if f.MapKey().Kind() != protoreflect.StringKind || f.MapValue().Kind() != protoreflect.StringKind {
			panic(fmt.Sprintf("aws: internal error: %s is no map of strings", f.FullName()))
		}
		return kindText
	}
	switch f.Kind() {
	case protoreflect.StringKind:
		return kindText
	case protoreflect.BytesKind:
		return kindBlob
	case protoreflect.BoolKind:
		return kindBoolean
	case protoreflect.Int32Kind:
		return kindInteger
	case protoreflect.Int64Kind:
		return kindLong
	case protoreflect.Uint32Kind:
		return kindUnsigned
	case protoreflect.EnumKind:
		return kindEnum
	case protoreflect.MessageKind:
		if f.Message().FullName() == "google.protobuf.Timestamp" {
			return kindTime
		}
		return kindStructure
	}
	panic(fmt.Sprintf("aws: internal error: %s has a type that has no form here", f.FullName()))
}

// enum is an enumeration by names; by AWS's names of some values, if names is given.
func (b *builder) enum(d protoreflect.EnumDescriptor, names map[string]string) *enum {
	if d == nil {
		return nil
	}
	prefix, ok := strings.CutSuffix(string(d.Values().ByNumber(0).Name()), "UNSPECIFIED")
	if !ok {
		panic(fmt.Sprintf("aws: internal error: %s has no UNSPECIFIED", d.FullName()))
	}
	e := &enum{names: map[protoreflect.EnumNumber]string{}, numbers: map[string]protoreflect.EnumNumber{}, refused: b.refused[short(d.FullName())]}
	b.used[short(d.FullName())] = true
	var all []string
	for i := range d.Values().Len() {
		v := d.Values().Get(i)
		if v.Number() == 0 {
			continue
		}
		name := strings.TrimPrefix(string(v.Name()), prefix)
		switch {
		case names[name] != "":
			name = names[name]
		case b.pascal[short(d.FullName())]:
			name = pascal(name)
		}
		e.names[v.Number()], e.numbers[name] = name, v.Number()
		all = append(all, name)
	}
	e.set = "[" + strings.Join(all, ", ") + "]"
	return e
}

// isPage reports whether d is an answer that lists: it tells where the next page begins.
func isPage(d protoreflect.MessageDescriptor) bool {
	name := string(d.Name())
	return strings.HasPrefix(name, "List") && strings.HasSuffix(name, "Response")
}

// isRequest reports whether d is the request of an operation.
func isRequest(d protoreflect.MessageDescriptor) bool {
	return strings.HasSuffix(string(d.Name()), "Request")
}

// short is a full name without the module's own part.
func short(name protoreflect.FullName) string { return strings.TrimPrefix(string(name), "kmsd.") }

// pascal turns key_id, and KEY_ID, into KeyId.
func pascal(s string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(s, "_") {
		if word == "" {
			continue
		}
		b.WriteString(strings.ToUpper(word[:1]) + strings.ToLower(word[1:]))
	}
	return b.String()
}
