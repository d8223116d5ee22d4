package aws

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"
)

func sortOperations(all []*operation) {
	slices.SortFunc(all, func(a, b *operation) int { return strings.Compare(a.method, b.method) })
}

func timeOf(v protoreflect.Value) time.Time {
	m := v.Message()
	d := m.Descriptor().Fields()
	return time.Unix(m.Get(d.ByName("seconds")).Int(), m.Get(d.ByName("nanos")).Int()).UTC()
}

// element is a parsed element.
type element struct {
	XMLName  xml.Name
	Text     string    `xml:",chardata"`
	Children []element `xml:",any"`
}

func (e *element) child(name string) *element {
	for i := range e.Children {
		if e.Children[i].XMLName.Local == name {
			return &e.Children[i]
		}
	}
	return nil
}

func parseXML(t testing.TB, b []byte) *element {
	t.Helper()
	e := &element{}
	d := xml.NewDecoder(strings.NewReader(string(b)))
	if err := d.Decode(e); err != nil {
		t.Fatalf("%v in\n%s", err, b)
	}
	for {
		token, err := d.Token()
		if err == io.EOF {
			return e
		}
		if text, ok := token.(xml.CharData); err != nil || !ok || strings.TrimSpace(string(text)) != "" {
			t.Fatalf("there is more behind the document: %v, %v in\n%s", token, err, b)
		}
	}
}

// anyMessage draws a message with anything in it that XML can hold.
func anyMessage(t *rapid.T, d protoreflect.MessageDescriptor, depth int) *dynamicpb.Message {
	m := dynamicpb.NewMessage(d)
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		if !rapid.Bool().Draw(t, "has") || depth > 4 && f.Kind() == protoreflect.MessageKind {
			continue
		}
		if !f.IsList() {
			m.Set(f, anyValue(t, f, depth))
			continue
		}
		list := m.Mutable(f).List()
		for range rapid.IntRange(0, 3).Draw(t, "n") {
			list.Append(anyValue(t, f, depth))
		}
	}
	return m
}

func anyValue(t *rapid.T, f protoreflect.FieldDescriptor, depth int) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(rapid.StringOf(rapid.RuneFrom([]rune("aZ09 /+%=:*~<>&'\"\r\n\tü€😀{}"))).Draw(t, "text"))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(rapid.Bool().Draw(t, "bool"))
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(rapid.Int32().Draw(t, "int32"))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(rapid.Int64().Draw(t, "int64"))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(rapid.IntRange(1, f.Enum().Values().Len()-1).Draw(t, "enum")))
	case protoreflect.MessageKind:
		if f.Message().FullName() == "google.protobuf.Timestamp" {
			return protoreflect.ValueOfMessage(timestamppb.New(time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "time"), 0)).ProtoReflect())
		}
		return protoreflect.ValueOfMessage(anyMessage(t, f.Message(), depth+1))
	}
	panic(f.Kind())
}

// sameAsXML compares what an element says with a message.
func sameAsXML(t *rapid.T, e *element, s *shape, m protoreflect.Message) {
	told := map[string]bool{}
	for _, f := range s.ordered {
		c := e.child(f.name)
		has := f.field != nil && m.Has(f.field)
		switch {
		case f.out && (f.literal != "" || f.always || f.instead != "" || has):
			if c == nil {
				t.Fatalf("%s is not told of %v", f.name, m)
			}
			told[f.name] = true
		case c != nil:
			t.Fatalf("%s is told, of %v", f.name, m)
		}
		if c == nil || !has {
			continue
		}
		if !f.list {
			sameValue(t, c, f, m.Get(f.field))
			continue
		}
		list := m.Get(f.field).List()
		if len(c.Children) != list.Len() {
			t.Fatalf("%s has %d members, want %d", f.name, len(c.Children), list.Len())
		}
		for i := range c.Children {
			if c.Children[i].XMLName.Local != "member" {
				t.Fatalf("%s has %s in it", f.name, c.Children[i].XMLName.Local)
			}
			sameValue(t, &c.Children[i], f, list.Get(i))
		}
	}
	if len(told) != len(e.Children) {
		t.Fatalf("%d members are told, want %d, of %v", len(e.Children), len(told), m)
	}
}

func sameValue(t *rapid.T, c *element, f *member, v protoreflect.Value) {
	got, want := c.Text, fmt.Sprint(v.Interface())
	switch {
	case f.kind == kindStructure:
		sameAsXML(t, c, f.shape, v.Message())
		return
	case f.encoded:
		plain, err := url.PathUnescape(got)
		if err != nil || strings.ContainsAny(got, "+*/ ") {
			t.Fatalf("%s is %q, which is not URL-encoded: %v", f.name, got, err)
		}
		got = plain
	case f.kind == kindBlob:
		if f.field.Kind() == protoreflect.BytesKind {
			want = string(v.Bytes())
		}
		plain, err := base64.StdEncoding.DecodeString(got)
		if err != nil {
			t.Fatalf("%s is %q: %v", f.name, got, err)
		}
		got = string(plain)
	case f.kind == kindEnum:
		want = f.enum.names[v.Enum()]
	case f.kind == kindTime:
		want = timeOf(v).Format(time.RFC3339)
	}
	if got != want {
		t.Fatalf("%s is %q, want %q", f.name, got, want)
	}
}

// TestAnyAnswerReadsBack: any answer of an operation, written as XML, is the same when it is read.
func TestAnyAnswerReadsBack(t *testing.T) {
	all := queryOperations(t)
	rapid.Check(t, func(r *rapid.T) {
		op := rapid.SampledFrom(all).Draw(r, "operation")
		m := anyMessage(r, op.out.message, 0)
		e := parseXML(t, op.service.protocol.encode(op, m, "the-request-id"))
		if e.XMLName.Local != op.name+"Response" || e.XMLName.Space != op.service.namespace {
			r.Fatalf("the answer is %v", e.XMLName)
		}
		if id := e.child("ResponseMetadata").child("RequestId").Text; id != "the-request-id" {
			r.Fatalf("the request id is %q", id)
		}
		result := e.child(op.name + "Result")
		if op.void {
			if result != nil {
				r.Fatalf("%s has a result", op.name)
			}
			return
		}
		if result == nil {
			r.Fatalf("%s has no result", op.name)
		}
		sameAsXML(r, result, op.out, m)
	})
}

// TestAnyRequestReadsBack: any message, written as a form, is the same when it is read.
func TestAnyRequestReadsBack(t *testing.T) {
	all, shapes := queryOperations(t), map[*shape]*shape{}
	rapid.Check(t, func(r *rapid.T) {
		op := *rapid.SampledFrom(all).Draw(r, "operation")
		op.in = bare(op.in, shapes)
		m := anyMessage(r, op.in.message, 0)
		values := url.Values{}
		formOf(op.in, m, "", values)
		got := dynamicpb.NewMessage(op.in.message)
		if err := op.service.protocol.decode(&op, []byte(values.Encode()), got); err != nil {
			r.Fatalf("decoding %s: %v", values.Encode(), err)
		}
		// An empty structure has no name in a form.
		if !proto.Equal(got, m) && len(values) == strings.Count(values.Encode(), "=") && !hasEmptyEntry(m) {
			r.Fatalf("decoding %s = %v, want %v", values.Encode(), got, m)
		}
	})
}

func hasEmptyEntry(m protoreflect.Message) (empty bool) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Kind() != protoreflect.MessageKind || f.IsMap() || f.Message().FullName() == "google.protobuf.Timestamp" {
			return true
		}
		one := func(m protoreflect.Message) bool { return proto.Size(m.Interface()) == 0 || hasEmptyEntry(m) }
		if !f.IsList() {
			empty = empty || one(v.Message())
			return true
		}
		for i := range v.List().Len() {
			empty = empty || one(v.List().Get(i).Message())
		}
		return true
	})
	return empty
}

func queryOperations(t testing.TB) (all []*operation) {
	t.Helper()
	for _, s := range newServices() {
		if s.version != "" {
			for _, op := range s.operations {
				all = append(all, op)
			}
		}
	}
	if len(all) < 80 {
		t.Fatalf("there are %d operations of the Query protocol", len(all))
	}
	sortOperations(all)
	return all
}

func TestXMLText(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"markup", `<a href="b">&amp;`, "&lt;a href=&quot;b&quot;&gt;&amp;amp;"},
		{"lines", "a\tb\nc\rd", "a\tb\nc&#xD;d"},
		{"what XML cannot hold", "a\x00b\x1fc\ufffed\uffff", "a\ufffdb\ufffdc\ufffdd\ufffd"},
		{"no UTF-8", "a\xffb\xed\xa0\x80", "a\ufffdb\ufffd\ufffd\ufffd"},
		{"the replacement character itself", "\ufffd", "\ufffd"},
		{"an end of CDATA", "]]>", "]]&gt;"},
		{"beyond the first plane", "😀", "😀"},
	} {
		var w xmlWriter
		w.text(c.text)
		if got := string(w.b); got != c.want {
			t.Errorf("%s: text(%q) = %q, want %q", c.name, c.text, got, c.want)
		}
		var parsed struct {
			Text string `xml:",chardata"`
		}
		if err := xml.Unmarshal([]byte("<a>"+string(w.b)+"</a>"), &parsed); err != nil {
			t.Errorf("%s: text(%q) is no XML: %v", c.name, c.text, err)
		}
	}
}

// TestXMLLeavesNothingBehind: a buffer that was too small for a secret is overwritten.
func TestXMLLeavesNothingBehind(t *testing.T) {
	w := xmlWriter{b: make([]byte, 0, 16)}
	w.raw("the secret")
	was := w.b[:cap(w.b)]
	w.raw(" and more than fits")
	if got := string(was); got != strings.Repeat("\x00", 16) {
		t.Errorf("the buffer that was left holds %q", got)
	}
	if got := string(w.b); got != "the secret and more than fits" {
		t.Errorf("the buffer holds %q", got)
	}
}
