package aws

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/kmsd/kmsd/internal/front"
)

// mostFindings bounds how many things are told of one request.
const mostFindings = 20

// findings collects what is wrong with the members of a request, in AWS's words.
type findings []string

// add tells that a value, which has no place in a message, is wrong.
func (f *findings) add(label, constraint string) { f.tell("Value at '"+label+"'", constraint) }

// quote tells that a value which is a name or a number is wrong.
func (f *findings) quote(value, label, constraint string) {
	if !quotable(value) {
		f.add(label, constraint)
		return
	}
	f.tell("Value '"+value+"' at '"+label+"'", constraint)
}

// null tells that a member is missing.
func (f *findings) null(label string) { f.tell("Value null at '"+label+"'", "Member must not be null") }

func (f *findings) tell(value, constraint string) {
	if len(*f) < mostFindings {
		*f = append(*f, value+" failed to satisfy constraint: "+constraint)
	}
}

// message is what the client reads.
func (f findings) message() string {
	if len(f) == 1 {
		return "1 validation error detected: " + f[0]
	}
	return strconv.Itoa(len(f)) + " validation errors detected: " + strings.Join(f, "; ")
}

// err is nil if nothing is wrong.
func (f findings) err() error {
	if len(f) == 0 {
		return nil
	}
	return &front.Error{Reason: reasonValidation, Message: f.message()}
}

// quotable reports whether a value may be repeated to the client: it looks like a name or a number, and not like what somebody wants kept.
func quotable(s string) bool {
	if len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// length checks how long a member is, or how many entries it has.
func (f *findings) length(n int, label string, b bounds) {
	switch {
	case b.most == 0:
	case n < b.least:
		f.add(label, "Member must have length greater than or equal to "+strconv.Itoa(b.least))
	case n > b.most:
		f.add(label, "Member must have length less than or equal to "+strconv.Itoa(b.most))
	}
}

// value checks a number.
func (f *findings) value(n int64, label string, b bounds) {
	switch {
	case b.most == 0:
	case n < int64(b.least):
		f.quote(strconv.FormatInt(n, 10), label, "Member must have value greater than or equal to "+strconv.Itoa(b.least))
	case n > int64(b.most):
		f.quote(strconv.FormatInt(n, 10), label, "Member must have value less than or equal to "+strconv.Itoa(b.most))
	}
}

// validation turns what the pipeline says of fields into AWS's words. op may be nil.
func (p *problem) validation(op *operation) string {
	var f findings
	for _, v := range p.violations {
		if v.what != "" && v.what[0] >= 'A' && v.what[0] <= 'Z' {
			return v.what // a sentence of AWS's, which stands alone there
		}
		label := label(op, v.field)
		value, constraint := constrained(v.what)
		switch {
		case v.what == "is missing":
			f.null(label)
		case value != "":
			f.quote(value, label, constraint)
		default:
			f.add(label, constraint)
		}
	}
	if len(f) == 0 {
		return p.message
	}
	return f.message()
}

// constrained is what a value fails to satisfy, of the words of package server. value is the number that they tell.
func constrained(what string) (value, constraint string) {
	var n, least, most int
	if c, _ := fmt.Sscanf(what, "has %d bytes, must have %d to %d", &n, &least, &most); c == 3 {
		if n < least {
			return "", "Member must have length greater than or equal to " + strconv.Itoa(least)
		}
		return "", "Member must have length less than or equal to " + strconv.Itoa(most)
	}
	if c, _ := fmt.Sscanf(what, "is %d, must be %d to %d", &n, &least, &most); c == 3 {
		if n < least {
			return strconv.Itoa(n), "Member must have value greater than or equal to " + strconv.Itoa(least)
		}
		return strconv.Itoa(n), "Member must have value less than or equal to " + strconv.Itoa(most)
	}
	return "", "Member " + what
}

// label is a field as AWS's validation names it: "tags[0].tag_key" is "tags.1.member.tagKey".
func label(op *operation, field string) string {
	var b strings.Builder
	var s *shape
	if op != nil {
		s = op.in
	}
	for i, part := range strings.Split(field, ".") {
		name, index, indexed := strings.Cut(strings.TrimSuffix(part, "]"), "[")
		if i > 0 {
			b.WriteByte('.')
		}
		m := s.byField(name)
		if m != nil {
			b.WriteString(m.label)
			s = m.shape
		} else {
			name = pascal(name)
			b.WriteString(strings.ToLower(name[:min(1, len(name))]) + name[min(1, len(name)):])
			s = nil
		}
		if n, err := strconv.Atoi(index); indexed && err == nil {
			b.WriteString("." + strconv.Itoa(n+1) + ".member")
		}
	}
	return b.String()
}

// byField is the member of a field; nil if there is none.
func (s *shape) byField(name string) *member {
	if s == nil {
		return nil
	}
	for _, m := range s.ordered {
		if m.field != nil && string(m.field.Name()) == name {
			return m
		}
	}
	return nil
}
