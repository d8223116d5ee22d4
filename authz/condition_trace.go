package authz

import "slices"

// A ConditionTrace says how one condition came out for one request.
type ConditionTrace struct {
	Operator      string // as the document writes it
	Key           string // as the document writes it
	Values        []string
	Present       bool     // the request has the key
	RequestValues []string // what it has; nil if it has not
	Holds         bool
}

// conditionTrace says how each condition of the statement comes out, in the document's order. It takes no steps of
// the decision.
func (q *request) conditionTrace(s *statement) []ConditionTrace {
	if s.source == nil || len(s.conditions) == 0 {
		return nil
	}
	left := q.target.budget
	defer func() { q.target.budget = left }()
	list := make([]ConditionTrace, len(s.source.conditions))
	for i := range s.conditions {
		c := &s.conditions[i]
		q.target.budget = maxSteps
		view := &s.source.conditions[c.at]
		var v reading
		q.read(&v, c.key, c.member)
		list[c.at] = ConditionTrace{
			Operator: view.Operator, Key: view.Key, Values: slices.Clone(view.Values),
			Present: v.count > 0, RequestValues: v.texts(keyTable[c.key].kind), Holds: c.holds(q, s.effect),
		}
	}
	return list
}

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
