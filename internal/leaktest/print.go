package leaktest

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"iter"
	"log"
	"log/slog"
)

// All verbs of package fmt, two that do not exist (z, !) and the flags that change what they print.
const verbs = "vTtbcdoOqxXUeEfFgGspwz!"

// prints yields every way of printing v, and what it gives. A way that panics gives the text of its panic.
func prints(v any) iter.Seq2[string, string] {
	return func(yield func(way, text string) bool) {
		for _, flags := range []string{"", "+", "#", " ", "# "} {
			for _, verb := range verbs {
				format := "%" + flags + string(verb)
				if !yield(format, run(func(out io.Writer) error {
					_, err := fmt.Fprintf(out, format, v)
					return err
				})) {
					return
				}
			}
		}
		for _, p := range printers {
			if !yield(p.way, run(func(out io.Writer) error { return p.print(out, v) })) {
				return
			}
		}
	}
}

// printers are the ways of printing beside the verbs. The error of a way is part of what it prints.
var printers = []struct {
	way   string
	print func(io.Writer, any) error
}{
	{"fmt.Println", func(out io.Writer, v any) error { _, err := fmt.Fprintln(out, v); return err }},
	{"%d of a verb too many", func(out io.Writer, v any) error { _, err := fmt.Fprintf(out, nothing(), v); return err }},
	{"log.Print", func(out io.Writer, v any) error { log.New(out, "", 0).Print(v); return nil }},
	{"slog as text", func(out io.Writer, v any) error { return logWith(slog.NewTextHandler(out, nil), v) }},
	{"slog as JSON", func(out io.Writer, v any) error { return logWith(slog.NewJSONHandler(out, nil), v) }},
	{"encoding/json", func(out io.Writer, v any) error { return json.NewEncoder(out).Encode(v) }},
	{"encoding/xml", func(out io.Writer, v any) error { return xml.NewEncoder(out).Encode(v) }},
	{"encoding/gob", func(out io.Writer, v any) error { return gob.NewEncoder(out).Encode(v) }},
	{"panic", func(_ io.Writer, v any) error { panic(v) }},
	{"panic(fmt.Sprint)", func(_ io.Writer, v any) error { panic(fmt.Sprint(v)) }},
	{"error text", func(_ io.Writer, v any) error { return fmt.Errorf("doing x: %v", v) }},
	{"error in Go syntax", func(_ io.Writer, v any) error { return fmt.Errorf("doing x: %#v", v) }},
}

// nothing is a format without a verb, for an operand too many, out of sight of vet.
func nothing() string { return "nothing" }

func logWith(h slog.Handler, v any) error {
	l := slog.New(h)
	l.Info("attribute", slog.Any("key", v))
	l.With("key", v).Info("of the logger")
	l.WithGroup("group").Info("in a group", slog.Group("inner", "key", v))
	return nil
}

// run returns what print writes, followed by the error it returns or the value it panics with.
func run(print func(io.Writer) error) (text string) {
	var out bytes.Buffer
	defer func() {
		text = out.String()
		if p := recover(); p != nil {
			text += fmt.Sprintf("\n%v\n%+v", p, p)
		}
	}()
	if err := print(&out); err != nil {
		fmt.Fprintf(&out, "\n%v\n%+v", err, err)
	}
	return ""
}
