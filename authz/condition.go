package authz

// A condition is one key of one operator of a Condition element, compiled.
type condition struct{}

// conditionsHold reports whether every condition of the statement holds for the request. In an Allow, a key that the
// request has several times, in different cases, must hold each time; in a Deny once is enough.
func (s *statement) conditionsHold(q *request) bool {
	for i := range s.conditions {
		if !s.conditions[i].holds(q, s.effect) {
			return false
		}
	}
	return true
}

// holds reports false: no condition has been read.
func (c *condition) holds(*request, Verdict) bool { return false }

// A ConditionTrace says how one condition came out for one request.
type ConditionTrace struct {
	Operator      string // as the document writes it
	Key           string
	Values        []string
	Present       bool     // the request has the key
	RequestValues []string // what it has
	Holds         bool
}

// conditionTrace says how each condition of the statement comes out, in the document's order.
func (q *request) conditionTrace(*statement) []ConditionTrace { return nil }
