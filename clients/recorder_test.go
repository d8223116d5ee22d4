package clients

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// recorder is an HTTP transport that keeps which operations succeeded and which members their answers had. It is safe for concurrent use.
type recorder struct {
	base http.RoundTripper

	mu      sync.Mutex
	answers map[string][]any  // by "service.Operation": the bodies of answers of status 200
	sent    map[string][]byte // by "service.Operation": the body of the last request that had such an answer
}

func newRecorder(base http.RoundTripper) *recorder {
	return &recorder{base: base, answers: map[string][]any{}, sent: map[string][]byte{}}
}

// RoundTrip implements http.RoundTripper.
func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	var sent []byte
	if request.Body != nil {
		b, err := io.ReadAll(request.Body)
		if err != nil {
			return nil, err
		}
		request.Body.Close()
		sent = b
		request = request.Clone(request.Context())
		request.Body = io.NopCloser(bytes.NewReader(sent))
	}
	answer, err := r.base.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	if answer.StatusCode == http.StatusOK {
		if err := r.keep(request.Header.Get("X-Amz-Target"), sent, body); err != nil {
			return nil, err
		}
	}
	return answer, nil
}

func (r *recorder) keep(target string, sent, body []byte) error {
	name, answer, err := readAnswer(target, sent, body)
	if err != nil {
		return fmt.Errorf("the answer of %s: %w", name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers[name] = append(r.answers[name], answer)
	r.sent[name] = sent
	return nil
}

// readAnswer is the operation's name and the answer as maps, lists and text.
func readAnswer(target string, sent, body []byte) (string, any, error) {
	if target != "" {
		prefix, operation, _ := strings.Cut(target, ".")
		name := map[string]string{"TrentService": "kms.", "AWSOrganizationsV20161128": "organizations."}[prefix] + operation
		if len(body) == 0 {
			return name, map[string]any{}, nil
		}
		var answer map[string]any
		err := json.Unmarshal(body, &answer)
		return name, answer, err
	}
	form, err := url.ParseQuery(string(sent))
	if err != nil {
		return "a form", nil, err
	}
	operation := form.Get("Action")
	name := map[string]string{"2010-05-08": "iam.", "2011-06-15": "sts."}[form.Get("Version")] + operation
	var answer element
	if err := xml.Unmarshal(body, &answer); err != nil {
		return name, nil, err
	}
	if answer.XMLName.Local != operation+"Response" {
		return name, nil, fmt.Errorf("it is a %s", answer.XMLName.Local)
	}
	for _, child := range answer.Children {
		switch child.XMLName.Local {
		case operation + "Result":
			return name, child, nil
		case "ResponseMetadata":
		default:
			return name, nil, fmt.Errorf("it has an element %s", child.XMLName.Local)
		}
	}
	return name, element{}, nil
}

// element is an element of XML.
type element struct {
	XMLName  xml.Name
	Children []element `xml:",any"`
	Text     string    `xml:",chardata"`
}

// succeeded are the operations of a service that have succeeded.
func (r *recorder) succeeded(service string) map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := map[string]bool{}
	for name := range r.answers {
		if operation, ok := strings.CutPrefix(name, service+"."); ok {
			names[operation] = true
		}
	}
	return names
}

// request is the body of a request of "service.Operation" that succeeded.
func (r *recorder) request(name string) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sent[name]
}

// members walks through all answers of an operation beside the SDK's type of its output. seen gets each member that was there, as "Type.Member"; the
// result are the members that the SDK does not know.
func (r *recorder) members(operation string, output reflect.Type, seen map[string]bool) []string {
	r.mu.Lock()
	answers := slices.Clone(r.answers[operation])
	r.mu.Unlock()
	unknown := map[string]bool{}
	for _, answer := range answers {
		walk(answer, output, seen, unknown)
	}
	return slices.Sorted(maps.Keys(unknown))
}

func walk(answer any, t reflect.Type, seen, unknown map[string]bool) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case isStructure(t):
		for name, value := range children(answer) {
			member := t.Name() + "." + name
			f, ok := t.FieldByName(name)
			if !ok {
				unknown[member] = true
				continue
			}
			seen[member] = true
			for _, v := range value {
				walk(v, f.Type, seen, unknown)
			}
		}
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		for _, item := range items(answer) {
			walk(item, t.Elem(), seen, unknown)
		}
	}
}

// isStructure reports whether a type of the SDK is a structure of AWS's model.
func isStructure(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && strings.Contains(t.PkgPath(), "/service/")
}

// children are the members of a structure by name.
func children(answer any) map[string][]any {
	members := map[string][]any{}
	switch a := answer.(type) {
	case map[string]any:
		for name, value := range a {
			members[name] = []any{value}
		}
	case element:
		for _, child := range a.Children {
			members[child.XMLName.Local] = append(members[child.XMLName.Local], child)
		}
	}
	return members
}

// items are the members of a list.
func items(answer any) []any {
	switch a := answer.(type) {
	case []any:
		return a
	case element:
		var list []any
		for _, child := range a.Children {
			list = append(list, child)
		}
		return list
	}
	return nil
}
