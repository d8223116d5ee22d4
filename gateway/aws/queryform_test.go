package aws

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func anyName(string) bool { return true }

// flat is the tree of a form as one line, for comparison.
func (n *node) flat(under string, to map[string]string) {
	if n.given {
		to[under] = n.value
	}
	for name, child := range n.members {
		if under == "" {
			child.flat(name, to)
			continue
		}
		child.flat(under+"/"+name, to)
	}
}

func TestReadForm(t *testing.T) {
	for _, c := range []struct {
		name, form string
		want       map[string]string
		err        error
	}{
		{"an empty body has no members", "", map[string]string{}, nil},
		{"a value", "UserName=alice", map[string]string{"UserName": "alice"}, nil},
		{"a plus is a space", "Description=a+b", map[string]string{"Description": "a b"}, nil},
		{"an escaped plus is a plus", "Description=a%2Bb", map[string]string{"Description": "a+b"}, nil},
		{"an equals sign may stand in a value", "Path=a=b", map[string]string{"Path": "a=b"}, nil},
		{"hexadecimal digits of either case", "X=%c3%A9", map[string]string{"X": "é"}, nil},
		{"an escaped name", "%55serName=a", map[string]string{"UserName": "a"}, nil},
		{"a pair without a value is empty", "Tags", map[string]string{"Tags": ""}, nil},
		{"empty pairs are nothing", "&&A=1&&B=2&", map[string]string{"A": "1", "B": "2"}, nil},
		{"names are paths", "Tags.member.1.Key=k&Tags.member.1.Value=v", map[string]string{"Tags/member/1/Key": "k", "Tags/member/1/Value": "v"}, nil},
		{"a value in a structure's place is kept for who reads it", "A=1&A.b=2", map[string]string{"A": "1", "A/b": "2"}, nil},
		{"a member twice", "UserName=alice&UserName=bob", nil, errFormTwice},
		{"a member twice, once escaped", "UserName=alice&User%4eame=bob", nil, errFormTwice},
		{"half an escape", "UserName=%4", nil, errFormSyntax},
		{"an escape of no digits", "UserName=%zz", nil, errFormSyntax},
		{"no UTF-8", "UserName=%ff", nil, errFormUTF8},
		{"no UTF-8 in a name", "%ff=a", nil, errFormUTF8},
		{"a name as long as may be", strings.Repeat("a", maxPairName) + "=1", map[string]string{strings.Repeat("a", maxPairName): "1"}, nil},
		{"a name that is longer", strings.Repeat("a", maxPairName+1) + "=1", nil, errFormDeep},
		{"a name as deep as may be", strings.Repeat("a.", maxNameParts-1) + "a=1", map[string]string{strings.Repeat("a/", maxNameParts-1) + "a": "1"}, nil},
		{"a name that is deeper", strings.Repeat("a.", maxNameParts) + "a=1", nil, errFormDeep},
		{"more pairs than may be", pairs(maxPairs + 1), nil, errFormPairs},
	} {
		t.Run(c.name, func(t *testing.T) {
			root, err := readForm([]byte(c.form), anyName)
			if !errors.Is(err, c.err) {
				t.Fatalf("readForm(%.80q): %v, want %v", c.form, err, c.err)
			}
			if err != nil {
				return
			}
			got := map[string]string{}
			root.flat("", got)
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("readForm(%.80q) = %v, want %v", c.form, got, c.want)
			}
		})
	}
}

func pairs(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "a%d=1&", i)
	}
	return b.String()
}

func TestReadFormLeavesOutWhatIsNotKnown(t *testing.T) {
	root, err := readForm([]byte("A=1&B=2&B.member.1=3&A.b=4"), func(name string) bool { return name == "A" })
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	root.flat("", got)
	if want := "map[A:1 A/b:4]"; fmt.Sprint(got) != want {
		t.Errorf("the tree is %v, want %v", got, want)
	}
}

func TestQueryAction(t *testing.T) {
	for _, c := range []struct{ form, action, version string }{
		{"Action=ListUsers&Version=2010-05-08", "ListUsers", "2010-05-08"},
		{"UserName=Action&Version=2010-05-08&Action=GetUser", "GetUser", "2010-05-08"},
		{"Version=2011-06-15&Action=Get%43allerIdentity", "GetCallerIdentity", "2011-06-15"},
		{"Action=ListUsers", "ListUsers", ""},
		{"", "", ""},
		{"XAction=ListUsers&Actions=a", "", ""},
		{"Action=ListUsers&Action=DeleteUser&Version=2010-05-08", "", ""},
		{"Action=ListUsers&Version=2010-05-08&Version=2011-06-15", "", ""},
		{"Action=&Version=2010-05-08&Action=DeleteUser", "", ""},
		{"Action=%f&Version=2010-05-08", "", "2010-05-08"},
		{"Action=" + strings.Repeat("a", maxPairName+1), "", ""},
	} {
		if action, version := queryAction([]byte(c.form)); action != c.action || version != c.version {
			t.Errorf("queryAction(%.80q) = %q, %q, want %q, %q", c.form, action, version, c.action, c.version)
		}
	}
}
