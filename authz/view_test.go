package authz

import (
	"reflect"
	"slices"
	"testing"
)

const viewed = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"},
 {"Sid":"two","Effect":"Deny","Principal":{"AWS":["111122223333","AIDAAAAAAAAAAAAAA001"]},"NotAction":["kms:*","sts:Get*"],"NotResource":["arn:aws:kms:*","*"],
 "Condition":{"StringLike":{"AWS:username":["a*","${aws:userid}"]},"Null":{"aws:TagKeys":true},"NumericLessThan":{"aws:EpochTime":1.50}}}]}`

func TestView(t *testing.T) {
	p := parseFor(t, KeyPolicy, viewed)
	from, to := p.StatementSpan(2)
	got := p.View(2)
	for _, c := range got.Conditions {
		if c.From <= from || c.To > to || viewed[c.From] != '"' {
			t.Errorf("condition %s stands at %d to %d, want within the statement", c.Key, c.From, c.To)
		}
	}
	if s := viewed[got.Conditions[0].From:got.Conditions[0].To]; s != `"AWS:username":["a*","${aws:userid}"]` {
		t.Errorf("the first condition is %s", s)
	}
	for i := range got.Conditions {
		got.Conditions[i].From, got.Conditions[i].To = 0, 0
	}
	if slices.Contains(got.Actions, KMSDecrypt) || slices.Contains(got.Actions, STSGetCallerIdentity) || !slices.Contains(got.Actions, STSAssumeRole) {
		t.Errorf("NotAction leaves %v", got.Actions)
	}
	got.Actions = nil
	want := StatementView{
		Sid: "two", Effect: Deny, ActionPatterns: []string{"kms:*", "sts:Get*"}, NotAction: true,
		Resources: []string{"arn:aws:kms:*", "*"}, NotResource: true, Principals: []string{"111122223333", "AIDAAAAAAAAAAAAAA001"},
		Conditions: []ConditionView{
			{Operator: "StringLike", Key: "AWS:username", Values: []string{"a*", "${aws:userid}"}},
			{Operator: "Null", Key: "aws:TagKeys", Values: []string{"true"}},
			{Operator: "NumericLessThan", Key: "aws:EpochTime", Values: []string{"1.50"}},
		},
		From: from, To: to,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("View(2) = %+v\nwant %+v", got, want)
	}
	if all := p.View(1); len(all.Actions) != int(actionEnd)-1 || all.Effect != Allow || p.Version() != "2012-10-17" {
		t.Errorf("View(1) = %+v, version %s, want an Allow of all actions", all, p.Version())
	}
	if none := p.View(3); none.From != 0 || none.Actions != nil || p.View(0).To != 0 {
		t.Errorf("View(3) = %+v, want nothing", none)
	}
	// Who was given a view may do with it as he likes.
	mine := p.View(2)
	mine.Resources[0], mine.Conditions[0].Values[0], mine.Conditions[0].Key = "x", "x", "x"
	if again := p.View(2); again.Resources[0] == "x" || again.Conditions[0].Values[0] == "x" || again.Conditions[0].Key == "x" {
		t.Error("a view is changed by who was given it before")
	}
}

func TestConditionTrace(t *testing.T) {
	p := parseFor(t, KeyPolicy, viewed)
	q := aliceAsks()
	q.target.budget = 5
	room := 1000
	got, whole := q.conditionTrace(&p.stmts[1], &room)
	want := []ConditionTrace{
		{"StringLike", "AWS:username", []string{"a*", "${aws:userid}"}, true, []string{"alice"}, true},
		{"Null", "aws:TagKeys", []string{"true"}, false, nil, true},
		{"NumericLessThan", "aws:EpochTime", []string{"1.50"}, true, []string{"1767323045"}, false},
	}
	if !reflect.DeepEqual(got, want) || !whole {
		t.Errorf("conditionTrace = %+v, whole %v\nwant %+v", got, whole, want)
	}
	if took := 1000 - room; took < 6*shownValue+len("a*${aws:userid}alicetrue1.501767323045") || took > 200 {
		t.Errorf("the trace took %d bytes", took)
	}
	room = 3*shownValue + len("true") + len("1.50") + maxValueText // not for the first condition
	want[0].Values, want[0].RequestValues = nil, nil
	if got, whole := q.conditionTrace(&p.stmts[1], &room); !reflect.DeepEqual(got, want) || whole || room != 0 {
		t.Errorf("conditionTrace = %+v, whole %v, room for %d bytes more\nwant %+v", got, whole, room, want)
	}
	if q.target.budget != 5 {
		t.Errorf("the trace took %d steps of the decision", 5-q.target.budget)
	}
	if got, whole := q.conditionTrace(&p.stmts[0], &room); got != nil || !whole {
		t.Error("a statement without conditions has a trace")
	}
}
