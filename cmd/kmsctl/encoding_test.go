package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
)

func TestToYAML(t *testing.T) {
	const in = `{"key_id":"1e3","aliases":["alias/app","yes"],"description":"a: b\u001b\u009b\t","enabled":true,"n":12,"none":null,"empty":{},"no":[],
"list":[{"a":"x","b":["y",["z","0123"]]},{"a":{"c":""}}],"arn":"arn:aws:kms:local:111122223333:key/x","time":"2026-11-23T15:04:05Z","é":"\ud83d\ude00 \udb40\udc01"}`
	const want = `key_id: "1e3"
aliases:
- alias/app
- "yes"
description: "a: b\u001B\u009B\u0009"
enabled: true
"n": 12
none: null
empty: {}
"no": []
list:
- a: x
  b:
  - "y"
  - - z
    - "0123"
- a:
    c: ""
arn: "arn:aws:kms:local:111122223333:key/x"
time: "2026-11-23T15:04:05Z"
"é": "😀 \U000E0001"
`
	got, err := toYAML([]byte(in))
	if err != nil || string(got) != want {
		t.Errorf("toYAML = %v\n%s\nwant\n%s", err, got, want)
	}
	for _, bad := range []string{"", "{", "{} {}", `{"a"`, "]"} {
		if got, err := toYAML([]byte(bad)); err == nil {
			t.Errorf("toYAML(%q) = %q, want an error", bad, got)
		}
	}
}

// FuzzEncodings: what is printed as YAML and JSON reads back as it was, and would not steer a terminal.
func FuzzEncodings(f *testing.F) {
	for _, s := range []string{"", "a", "0123", "1e3", "yes", "~", "a: b", "- x", "a\nb", "a\tb\r", "\x1b\u009b\u202e\U000E0001", "'\"\\", "#c", " lead", "--- ", "arn:aws:kms", "0x1F", "a:1", "12:30:45", "=", "\x7f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			return
		}
		v := map[string]any{"text": s, "list": []any{s, map[string]any{"k" + s: s}}}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		y, err := toYAML(b)
		if err != nil {
			t.Fatalf("toYAML(%s) = %v", b, err)
		}
		var fromYAML, fromJSON map[string]any
		if err := yaml.Unmarshal(y, &fromYAML); err != nil || !reflect.DeepEqual(fromYAML, v) {
			t.Errorf("%q as YAML is\n%s\nwhich reads as %q, %v", s, y, fromYAML, err)
		}
		j := escaped(b)
		if err := json.Unmarshal(j, &fromJSON); err != nil || !reflect.DeepEqual(fromJSON, v) {
			t.Errorf("%q as JSON is %s, which reads as %q, %v", s, j, fromJSON, err)
		}
		for _, out := range []string{strings.ReplaceAll(string(y), "\n", ""), string(j)} {
			if strings.ContainsFunc(out, unprintable) && !strings.ContainsRune(s, utf8.RuneError) {
				t.Errorf("%q is printed as %q, which is not printable", s, out)
			}
		}
	})
}
