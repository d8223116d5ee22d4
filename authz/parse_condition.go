package authz

import (
	"cmp"
	"slices"
	"strings"
)

// readCondition reads Condition, if the statement has one.
func (r *reader) readCondition(n *node, s *statement) error {
	e := n.element("Condition")
	switch {
	case e == nil:
		return nil
	case e.kind != objectNode:
		return r.fault(e, `Condition is %v; write an object such as {"StringEquals": {"aws:PrincipalTag/team": "blue"}}`, e.kind)
	case len(e.members) == 0:
		return r.fault(e, "Condition is empty; remove it, or add an operator")
	}
	for i := range e.members {
		if err := r.readOperator(&e.members[i], s); err != nil {
			return err
		}
	}
	slices.SortStableFunc(s.conditions, func(a, b condition) int { return cmp.Compare(a.cost, b.cost) })
	return nil
}

func (r *reader) readOperator(m *member, s *statement) error {
	o, set, ifExists, wrong := parseOperator(m.name)
	switch {
	case wrong != "":
		return faultAt(r.doc, m.from, "%s %s", quote(m.name), wrong)
	case m.value.kind != objectNode:
		return r.fault(&m.value, "%s is %v; write an object of condition keys and their values", quote(m.name), m.value.kind)
	case len(m.value.members) == 0:
		return r.fault(&m.value, "%s has no condition key; remove it, or add one", quote(m.name))
	}
	seen := make(map[string]struct{})
	for i := range m.value.members {
		key := &m.value.members[i]
		folded := foldName(key.name)
		if _, twice := seen[folded]; twice {
			return faultAt(r.doc, key.from, "condition key %s stands twice in one operator, in another case; remove one of them", quote(key.name))
		}
		seen[folded] = struct{}{}
		c := condition{compare: o.compare, negated: o.negated, order: o.order, set: set, ifExists: ifExists, at: len(s.source.conditions)}
		if err := r.readKey(key, o, &c, s.effect); err != nil {
			return err
		}
		texts, err := r.readValues(key, o, &c)
		if err != nil {
			return err
		}
		c.weigh()
		s.conditions = append(s.conditions, c)
		s.source.conditions = append(s.source.conditions, ConditionView{
			Operator: m.name, Key: key.name, Values: texts, From: key.from, To: key.value.to,
		})
	}
	return nil
}

// readKey finds the key and whether the operator can compare it.
func (r *reader) readKey(m *member, o *operator, c *condition, effect Verdict) error {
	if r.variables && hasVariable(m.name) {
		return faultAt(r.doc, m.from, "condition key %s has a policy variable, which is not replaced there; write the name out", quote(m.name))
	}
	var wrong string
	if c.key, c.member, wrong = parseKey(m.name, r.kind == TrustPolicy); wrong != "" {
		return faultAt(r.doc, m.from, "%s %s", quote(m.name), wrong)
	}
	if c.key == keyEpochTime && o.compare == dateOrder {
		c.key = keyEpochDate
	}
	info := &keyTable[c.key]
	c.multi = info.multi
	switch {
	case o.keys&(1<<info.kind) == 0:
		return faultAt(r.doc, m.from, "%s has values of type %v, which %s does not compare; write %s", quote(m.name), info.kind, o.name, operatorsFor(info.kind))
	case c.set == forAllValues && !info.multi && effect == Allow:
		return faultAt(r.doc, m.from, "OverlyPermissiveCondition: ForAllValues holds for every request without %s, which has a single value; write %s alone",
			quote(m.name), o.name)
	}
	return nil
}

func operatorsFor(t KeyType) string {
	switch t {
	case BoolKey:
		return `"Bool" or "Null"`
	case NumericKey:
		return `"NumericEquals" or one of its kin`
	case DateKey:
		return `"DateLessThan" or one of its kin`
	case IPAddressKey:
		return `"IpAddress" or "NotIpAddress"`
	case ARNKey:
		return `"ArnLike" or "ArnNotLike"`
	}
	return `"StringEquals" or one of its kin`
}

// readValues reads the values of a key. It returns them as the document writes them.
func (r *reader) readValues(m *member, o *operator, c *condition) ([]string, error) {
	list := m.value.items
	switch m.value.kind {
	case arrayNode:
	case objectNode, nullNode:
		return nil, r.fault(&m.value, "the value of %s is %v; write a string, a number, a boolean, or a list of them", quote(m.name), m.value.kind)
	default:
		list = []node{m.value}
	}
	switch {
	case len(list) == 0:
		return nil, r.fault(&m.value, "%s has no value; add one", quote(m.name))
	case len(list) > 1 && (o.compare == truthEqual || o.compare == keyPresence):
		return nil, r.fault(&list[1], "%s takes one value; remove the others", o.name)
	}
	texts := make([]string, 0, len(list))
	for i := range list {
		switch v := &list[i]; {
		case v.kind == objectNode, v.kind == arrayNode, v.kind == nullNode:
			return nil, r.fault(v, "a value of %s is %v; write a string, a number or a boolean", quote(m.name), v.kind)
		case v.kind == numberNode && strings.ContainsAny(v.text, "eE"):
			return nil, r.fault(v, "the number %s has an exponent; write it out", quote(v.text))
		default:
			if wrong := c.add(v.text, r); wrong != "" {
				return nil, r.fault(v, "%s %s", quote(v.text), wrong)
			}
			texts = append(texts, v.text)
		}
	}
	if len(c.texts) >= manyTexts && c.compare != textFolded {
		c.many = make(map[string]struct{}, len(c.texts))
		for _, t := range c.texts {
			c.many[t] = struct{}{}
		}
		c.texts = nil
	}
	return texts, nil
}

// add compiles one value. It returns what is wrong with it, "" if nothing.
func (c *condition) add(s string, r *reader) (wrong string) {
	if r.variables && hasVariable(s) && !c.takesVariables() {
		return "has a policy variable, which only operators for strings and ARNs replace; write the value out"
	}
	switch c.compare {
	case textEqual, textFolded, textLike, arnLike:
		return c.addText(s, lexer{meaning: r.variables, claims: r.kind == TrustPolicy, fold: c.compare == textFolded})
	case bytesEqual:
		s, wrong = parseBinary(s)
		c.texts = append(c.texts, s)
	case numberOrder:
		var d decimal
		d, wrong = parseDecimal(s)
		c.numbers = append(c.numbers, d)
	case dateOrder:
		var d int64
		d, wrong = parseDate(s)
		c.dates = append(c.dates, d)
	case addressIn:
		p, fault := parseNetwork(s)
		wrong = fault
		c.networks = append(c.networks, p)
	case truthEqual, keyPresence:
		c.truth, wrong = parseTruth(s)
	}
	return wrong
}

func (c *condition) takesVariables() bool {
	return c.compare == textEqual || c.compare == textFolded || c.compare == textLike || c.compare == arnLike
}

func (c *condition) addText(s string, l lexer) string {
	var p pattern
	var wrong string
	if c.compare == arnLike {
		p, wrong = compileARN(s, l)
	} else {
		p, wrong = compileText(s, c.compare == textLike, l)
	}
	if p.kind == exactPattern {
		c.texts = append(c.texts, p.text)
	} else {
		c.patterns = append(c.patterns, p)
	}
	return wrong
}

// weigh says what the condition costs, so that the cheap ones are asked first.
func (c *condition) weigh() {
	switch c.compare {
	case keyPresence, truthEqual:
	case numberOrder, dateOrder:
		c.cost = 1
	case addressIn:
		c.cost = 3
	default:
		c.cost = 2
	}
	if keyTable[c.key].family {
		c.cost += 2
	}
	if c.multi {
		c.cost += 3
	}
	for i := range c.patterns {
		c.cost += 2 + 4*len(c.patterns[i].variables)
	}
	c.cost += (len(c.texts) + len(c.numbers) + len(c.dates) + len(c.networks)) / 4
}
