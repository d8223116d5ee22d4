package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/kmsd/kmsd/client"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// maxBatchLine is the length of the longest request of a batch, in bytes: 64 KiB in base64, with an encryption context of 8 KiB, escaped, and all other fields.
const maxBatchLine = 256 << 10

// chunkBytes is how many bytes of requests are gathered at most before they are sent.
const chunkBytes = client.MaxBatchBytes - maxBatchLine

func (a *app) batchCommand() *cobra.Command {
	var in string
	var show bool
	cmd := &cobra.Command{
		Use: "batch", Short: "carry out many requests, in few calls", Args: takes(),
		Long: `batch reads requests, one JSON object a line, and writes the results, one JSON object a line, in their order. A request has one member, named after its operation: encrypt, decrypt,
re_encrypt, generate_data_key, generate_data_key_without_plaintext, generate_data_key_pair, generate_data_key_pair_without_plaintext, generate_mac, verify_mac, sign, verify,
derive_shared_secret, encapsulate, decapsulate or generate_random. Its value has the fields of the API (key_id, plaintext, encryption_context, …): bytes in base64, enums as AWS writes
them. A result has the same member with the answer, or else error, and always line, its number, and request_id, its record in the audit log. Each request is authorized by itself.

1024 requests go in one call. Exit code 1 means that some failed; a line that is no request ends the run. On a terminal the results are shown only with --show.`,
		Example: `  kmsctl batch < requests.jsonl > results.jsonl
  kmsctl batch --in requests.jsonl --show`,
	}
	cmd.Flags().StringVar(&in, "in", standard, "`FILE` with the requests, - for standard input")
	cmd.Flags().BoolVar(&show, "show", false, "show the results on a terminal: there can be secrets in them")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
		switch {
		case a.output == formatYAML:
			return usage("-o yaml: the results are lines of JSON")
		case !show && isTerminal(a.stdout):
			return hintAt(usageError{errors.New("this would show the results, with the secrets in them, on a terminal")}, "kmsctl batch > FILE, or --show if that is what you want")
		}
		r, name, err := a.open(ctx, in)
		if err != nil {
			return err
		}
		defer r.Close() // only read
		b := &batch{app: a, client: c}
		return b.run(ctx, r, name)
	})
	return cmd
}

// batch is one run of the command.
type batch struct {
	*app
	client       *client.Client
	items        []*kmsv1.BatchItem // not sent yet
	size         int                // of items, in bytes
	done, failed int
}

func (b *batch) run(ctx context.Context, r io.Reader, name string) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxBatchLine)
	n := 0
	for lines.Scan() {
		n++
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			return errors.Join(b.send(ctx), fmt.Errorf("%s: line %d is empty", name, n))
		}
		item, err := parseItem(lines.Bytes())
		if err != nil {
			return errors.Join(b.send(ctx), hintAt(fmt.Errorf("%s: line %d: %w", name, n, err), "kmsctl batch --help"))
		}
		b.items = append(b.items, item)
		b.size += proto.Size(item)
		if len(b.items) == client.MaxBatchItems || b.size > chunkBytes {
			if err := b.send(ctx); err != nil {
				return err
			}
		}
	}
	if err := b.send(ctx); err != nil {
		return err
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("%s: line %d has more than %d bytes", name, n+1, maxBatchLine)
	case err != nil:
		return fmt.Errorf("reading %s: %w", name, err)
	case n == 0:
		return fmt.Errorf("%s is empty", name)
	case b.failed > 0:
		return hintAt(fmt.Errorf("%d of %d requests failed", b.failed, b.done), "their results have a member error")
	}
	return nil
}

// send carries out what was gathered and writes the results.
func (b *batch) send(ctx context.Context) error {
	results, err := b.client.BatchCrypto(ctx, b.items)
	for _, r := range results {
		b.done++
		line, lineErr := resultLine(b.done, r)
		if lineErr != nil {
			return lineErr
		}
		if r.HasError() {
			b.failed++
		}
		_, writeErr := b.stdout.Write(line)
		clear(line)
		if writeErr != nil {
			return writeErr
		}
	}
	b.items, b.size = nil, 0
	return err
}

// parseItem reads one request. Names that it does not know are an error.
func parseItem(line []byte) (*kmsv1.BatchItem, error) {
	var v map[string]any
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if err := d.Decode(&v); err != nil || v == nil {
		return nil, errors.New("it is no JSON object")
	}
	item := &kmsv1.BatchItem{}
	if err := enumNames(item.ProtoReflect().Descriptor(), v, func(prefix, name string) string {
		if strings.HasPrefix(name, prefix) {
			return name
		}
		return prefix + name
	}); err != nil {
		return nil, err
	}
	if len(v) > 1 {
		return nil, errors.New("it names more than one operation")
	}
	whole, err := json.Marshal(v)
	if err != nil {
		return nil, errors.New("it is no JSON object")
	}
	defer clear(whole)
	if d.More() {
		return nil, errors.New("there is more than one JSON object")
	}
	if err := protojson.Unmarshal(whole, item); err != nil {
		return nil, fmt.Errorf("it is no request: %s", reasonOf(err))
	}
	if !item.HasRequest() {
		return nil, errors.New("it names no operation")
	}
	return item, nil
}

// reasonOf is what package protojson says without the name of its package, and without a place in bytes that were rewritten.
func reasonOf(err error) string {
	_, text, ok := strings.Cut(err.Error(), "): ")
	if !ok {
		return "a value is not what its field takes"
	}
	return shorten(text, 120)
}

// enumNames replaces the names of all enums in the JSON of a message.
func enumNames(d protoreflect.MessageDescriptor, v map[string]any, name func(prefix, given string) string) error {
	for key, value := range v {
		f := d.Fields().ByName(protoreflect.Name(key))
		switch {
		case f == nil:
			return fmt.Errorf("there is no field %q", shorten(key, 60))
		case f.Enum() != nil:
			v[key] = renamed(value, func(given string) string { return name(prefixOf(f.Enum()), given) })
		case f.Message() != nil && !f.IsMap() && !f.IsList():
			inner, ok := value.(map[string]any)
			if !ok {
				return fmt.Errorf("%s is no JSON object", key)
			}
			if f.Message().ParentFile().Package() != "kmsd.kms.v1" {
				continue
			}
			if err := enumNames(f.Message(), inner, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// renamed applies name to a text, or to all texts of a list.
func renamed(value any, name func(string) string) any {
	switch value := value.(type) {
	case string:
		return name(value)
	case []any:
		for i, one := range value {
			value[i] = renamed(one, name)
		}
	}
	return value
}

// prefixOf is what the names of all values of an enum begin with: that of the first without its end.
func prefixOf(e protoreflect.EnumDescriptor) string {
	return strings.TrimSuffix(string(e.Values().Get(0).Name()), "UNSPECIFIED")
}

// resultLine is one result as JSON, with a line feed. Checksums, which were checked, are left out.
func resultLine(number int, r *kmsv1.BatchResult) ([]byte, error) {
	v := map[string]any{"line": number, "request_id": r.GetRequestId()}
	if err := client.BatchError(r); err != nil {
		v["error"] = viewOfError(err)
	} else {
		m := r.ProtoReflect()
		f := m.WhichOneof(m.Descriptor().Oneofs().Get(0))
		answer, err := answerOf(m.Get(f).Message())
		if err != nil {
			return nil, err
		}
		v[string(f.Name())] = answer
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding the output: %w", err)
	}
	return escaped(out.Bytes()), nil
}

// answerOf is an answer as JSON shows it.
func answerOf(m protoreflect.Message) (map[string]any, error) {
	m.Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		if strings.HasSuffix(string(f.Name()), "_crc32c") {
			m.Clear(f)
		}
		return true
	})
	b, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m.Interface())
	if err != nil {
		return nil, fmt.Errorf("encoding the output: %w", err)
	}
	defer clear(b)
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil {
		return nil, fmt.Errorf("encoding the output: %w", err)
	}
	return v, enumNames(m.Descriptor(), v, func(prefix, name string) string { return strings.TrimPrefix(name, prefix) })
}

// errorView is how a request failed.
type errorView struct {
	Code    string `json:"code"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message"`
}

func viewOfError(err error) errorView {
	v := errorView{Code: codes.Unknown.String(), Message: err.Error()}
	var e *client.Error
	if errors.As(err, &e) {
		v = errorView{e.Code.String(), e.Reason, e.Message}
	}
	return v
}
