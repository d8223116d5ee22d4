package difftest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// process is another implementation that runs in a process of its own; interop/second.py has the protocol.
type process struct {
	in     io.WriteCloser
	out    *bufio.Reader
	loaded map[*key]int
}

// start starts a process. It skips the test, and says so, if the program or what it needs is not installed.
func start(t *testing.T, argv ...string) *process {
	t.Helper()
	path, err := exec.LookPath(argv[0])
	if err != nil {
		t.Skipf("SKIPPED: %s is not installed", argv[0])
	}
	cmd := exec.Command(path, argv[1:]...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{in, bufio.NewReaderSize(out, 1<<20), map[*key]int{}}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v", argv, err)
		}
	})
	greeting, err := p.out.ReadString('\n')
	if err != nil {
		t.Fatalf("%v says %q: %v", argv, greeting, err)
	}
	if what, missing := strings.CutPrefix(greeting, "missing "); missing {
		t.Skipf("SKIPPED: %s: %s", argv, what)
	}
	t.Logf("%s: %s", t.Name(), strings.TrimSpace(strings.TrimPrefix(greeting, "ready ")))
	return p
}

// newOpenSSL starts Python's package cryptography.
func newOpenSSL(t *testing.T) peer { return start(t, "python3", "../interop/second.py") }

// newJava starts the standard library of Java.
func newJava(t *testing.T) peer { return start(t, "java", "../interop/Second.java") }

func (p *process) do(calls []call) ([]answer, error) {
	var lines bytes.Buffer
	var mine []bool // lines whose answer is a call's
	for _, c := range calls {
		if _, ok := p.loaded[c.key]; !ok {
			p.loaded[c.key] = len(p.loaded)
			fmt.Fprintf(&lines, "load %d %s %s %s\n", p.loaded[c.key], c.key.spec, hexOf(c.key.pkcs8), hexOf(c.key.spki))
			mine = append(mine, false)
		}
		fmt.Fprintf(&lines, "%s %s %d", c.op, c.algorithm, p.loaded[c.key])
		for _, in := range c.in {
			fmt.Fprintf(&lines, " %s", hexOf(in))
		}
		lines.WriteByte('\n')
		mine = append(mine, true)
	}
	lines.Truncate(lines.Len() - 1)
	lines.WriteString(" \n") // the end of the batch
	go p.in.Write(lines.Bytes())

	var answers []answer
	for _, m := range mine {
		line, err := p.out.ReadString('\n')
		if err != nil {
			return nil, err
		}
		a, err := parseAnswer(strings.Fields(line))
		if err != nil {
			return nil, err
		}
		if m {
			answers = append(answers, a)
		}
	}
	return answers, nil
}

func parseAnswer(fields []string) (answer, error) {
	if len(fields) == 1 && fields[0] == "refused" {
		return answer{refused: true}, nil
	}
	if len(fields) == 0 || fields[0] != "ok" {
		return answer{}, fmt.Errorf("the other says %q", fields)
	}
	var a answer
	for _, f := range fields[1:] {
		b, err := parseHex(f)
		if err != nil {
			return answer{}, err
		}
		a.out = append(a.out, b)
	}
	return a, nil
}
