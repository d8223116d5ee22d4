package authz

import "slices"

// A ConditionTrace says how one condition came out for one request.
type ConditionTrace struct {
	Operator      string   // as the document writes it
	Key           string   // as the document writes it
	Values        []string // nil where there was no room for them, and then RequestValues is nil too
	Present       bool     // the request has the key
	RequestValues []string // what it has; nil if it has not
	Holds         bool
}

// shownValue is what a value takes in a trace besides its own bytes.
const shownValue = 16

// conditionTrace says how each condition of the statement comes out, in the document's order. It takes no steps of
// the decision. The values of a condition are shown only if there is room for them, which they then take; whole is false if some are not.
func (q *request) conditionTrace(s *statement, room *int) (list []ConditionTrace, whole bool) {
	if s.source == nil || len(s.conditions) == 0 {
		return nil, true
	}
	left := q.target.budget
	defer func() { q.target.budget = left }()
	list, whole = make([]ConditionTrace, len(s.source.conditions)), true
	for i := range s.conditions {
		c := &s.conditions[i]
		q.target.budget = maxSteps
		view := &s.source.conditions[c.at]
		var v reading
		q.read(&v, c.key, c.member)
		one := ConditionTrace{Operator: view.Operator, Key: view.Key, Present: v.count > 0, Holds: c.holds(q, s.effect)}
		kind := keyTable[c.key].kind
		if rest := v.room(kind, roomFor(view.Values, *room)); rest >= 0 {
			*room = rest
			one.Values, one.RequestValues = slices.Clone(view.Values), v.texts(kind)
		} else {
			whole = false
		}
		list[c.at] = one
	}
	return list, whole
}

// roomFor is what is left of room with the values; negative if there is not enough.
func roomFor(values []string, room int) int {
	room -= shownValue * len(values)
	for i := 0; i < len(values) && room >= 0; i++ {
		room -= len(values[i])
	}
	return room
}

// room is what is left of room with what a request has; negative if there is not enough.
func (v *reading) room(kind KeyType, room int) int {
	room -= shownValue * v.count
	for i := 0; i < v.count && room >= 0; i++ {
		if kind == StringKey || kind == ARNKey {
			room -= len(v.at(i))
		} else {
			room -= maxValueText
		}
	}
	return room
}

// maxValueText is more than the text of a value that is no string: of a date, an address with a prefix, a number.
const maxValueText = 48

// texts returns the values as a policy would write them.
func (v *reading) texts(kind KeyType) []string {
	var list []string
	for i := range v.count {
		if kind == StringKey || kind == ARNKey {
			list = append(list, v.at(i))
			continue
		}
		list = append(list, string(v.appendText(nil, kind)))
	}
	return list
}
