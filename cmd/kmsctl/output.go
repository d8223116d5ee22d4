package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/table"
)

// The formats of --output.
const (
	formatTable = "table"
	formatJSON  = "json"
	formatYAML  = "yaml"
)

// emit prints v as JSON or YAML, or else what show returns: rows, the first of them the header, or pairs of a name and a value.
func (a *app) emit(v any, show func() view) error {
	if a.output == formatTable {
		return a.print(show())
	}
	b, err := a.encode(v)
	if err != nil {
		return err
	}
	_, err = a.stdout.Write(b)
	return err
}

// encode makes v JSON or YAML, with a line feed at its end.
func (a *app) encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding the output: %w", err)
	}
	if a.output == formatYAML {
		return toYAML(b.Bytes())
	}
	return escaped(b.Bytes()), nil
}

// view is what a table shows.
type view struct {
	header []string // none: rows are pairs of a name and a value
	rows   [][]string
	empty  string // said instead of a table without rows
}

func pairs(namesAndValues ...string) view {
	var v view
	for i := 0; i+1 < len(namesAndValues); i += 2 {
		v.rows = append(v.rows, namesAndValues[i:i+2])
	}
	return v
}

const (
	bold  = "\x1b[1m"
	red   = "\x1b[31m"
	green = "\x1b[32m"
	reset = "\x1b[0m"
)

// coloured reports whether colours are wanted.
func (a *app) coloured() bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(a.stdout)
}

func (a *app) colour(code, text string) string {
	if !a.coloured() {
		return text
	}
	return code + text + reset
}

// states are the words that have a colour. :: word → colour
var states = map[string]string{
	"Enabled": green, "Active": green, "OK": green, "Disabled": red, "Inactive": red, "FAIL": red,
}

func (a *app) cell(text string) string {
	text = printable(text)
	if c := states[text]; c != "" {
		return a.colour(c, text)
	}
	return text
}

func (a *app) print(v view) error {
	if len(v.rows) == 0 {
		if v.empty != "" {
			a.say("%s", v.empty)
		}
		return nil
	}
	w := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	style.Format.Header = 0
	w.SetStyle(style)
	w.SuppressTrailingSpaces()
	add := func(cells []string, paint func(int, string) string) {
		row := make(table.Row, len(cells))
		for i, c := range cells {
			row[i] = paint(i, c)
		}
		w.AppendRow(row)
	}
	if len(v.header) > 0 {
		add(v.header, func(_ int, c string) string { return a.colour(bold, c) })
	}
	for _, r := range v.rows {
		add(r, func(i int, c string) string {
			if i == 0 && len(v.header) == 0 {
				return a.colour(bold, c)
			}
			return a.cell(c)
		})
	}
	_, err := fmt.Fprintln(a.stdout, w.Render())
	return err
}

// printable replaces what a terminal would obey, or would not show, by an escape. Line feeds stay in messages of several lines only
// as escapes, too: one message is one line.
func printable(s string) string {
	if !strings.ContainsFunc(s, unprintable) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unprintable(r) {
			b.WriteString(strings.Trim(fmt.Sprintf("%+q", r), "'"))
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }

// stamp is an instant for people.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// shorten cuts a text for a table.
func shorten(s string, most int) string {
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most-1]) + "…"
}
