package ref

import (
	"encoding/json"
	"strings"
)

// Policy is a decoded document.
type Policy struct {
	Name     string
	Text     string
	Unusable bool              `json:",omitempty"` // it did not load
	IDs      map[string]string // :: ARN of a user, or role, or session of a role → unique id of the user or role, as it was when the policy was attached

	statements []statement
	variables  bool // Version has policy variables
}

// statement is one statement, as lists of what the document says.
type statement struct {
	deny         bool
	actions      []string
	notAction    bool
	resources    []string // nil: the element is not there
	notResource  bool
	principals   []principalEntry
	notPrincipal bool
	conditions   []condition
}

// principalEntry is one value of Principal or NotPrincipal.
type principalEntry struct {
	kind string // "AWS", "Federated"
	text string
}

// condition is one key of one operator.
type condition struct {
	set      string // "ForAllValues", "ForAnyValue" or ""
	operator string // without set and IfExists
	ifExists bool
	key      string
	values   []string
}

// Decode decodes a document that authz.Parse accepts, and gives it a name.
func Decode(name, text string, ids map[string]string) (*Policy, error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var doc map[string]any
	if err := decoder.Decode(&doc); err != nil {
		return nil, err
	}
	p := &Policy{Name: name, Text: text, IDs: ids, variables: doc["Version"] == "2012-10-17"}
	list, ok := doc["Statement"].([]any)
	if !ok {
		list = []any{doc["Statement"]}
	}
	for _, s := range list {
		p.statements = append(p.statements, decodeStatement(s.(map[string]any)))
	}
	return p, nil
}

func decodeStatement(m map[string]any) statement {
	s := statement{deny: m["Effect"] == "Deny"}
	s.actions, s.notAction = either(m, "Action")
	s.resources, s.notResource = either(m, "Resource")
	principal := m["Principal"]
	if not, ok := m["NotPrincipal"]; ok {
		s.notPrincipal, principal = true, not
	}
	switch v := principal.(type) {
	case string:
		s.principals = []principalEntry{{"AWS", v}}
	case map[string]any:
		for kind, list := range v {
			for _, text := range texts(list) {
				s.principals = append(s.principals, principalEntry{kind, text})
			}
		}
	}
	if block, ok := m["Condition"].(map[string]any); ok {
		for operator, keys := range block {
			for key, values := range keys.(map[string]any) {
				s.conditions = append(s.conditions, newCondition(operator, key, texts(values)))
			}
		}
	}
	return s
}

func newCondition(operator, key string, values []string) condition {
	c := condition{key: key, values: values}
	if set, rest, ok := strings.Cut(operator, ":"); ok {
		c.set, operator = set, rest
	}
	c.operator, c.ifExists = strings.CutSuffix(operator, "IfExists")
	return c
}

// either returns the values of an element, or of its negation.
func either(m map[string]any, name string) ([]string, bool) {
	if v, ok := m["Not"+name]; ok {
		return texts(v), true
	}
	return texts(m[name]), false
}

// texts returns the texts of a value, or of a list of values.
func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case json.Number:
		return []string{v.String()}
	case bool:
		if v {
			return []string{"true"}
		}
		return []string{"false"}
	case []any:
		var list []string
		for _, one := range v {
			list = append(list, texts(one)...)
		}
		return list
	}
	return nil
}
