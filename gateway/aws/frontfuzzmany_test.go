package aws

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestFuzzFront alters the requests that FuzzHTTP begins with, and those that it has found (in the folder KMSD_FUZZ_CORPUS), KMSD_FUZZ_FRONT (20,000) times, and sends
// each through the real handler: quicker than go test's fuzzing, which watches what the code does with each. `make fuzz-front` does both.
func TestFuzzFront(t *testing.T) {
	executions, err := strconv.Atoi(os.Getenv("KMSD_FUZZ_FRONT"))
	if err != nil {
		executions = 20_000
		if testing.Short() {
			executions = 2000
		}
	}
	corpus := append(httpSeeds(), found(t, os.Getenv("KMSD_FUZZ_CORPUS"))...)
	if len(corpus) < 150 {
		t.Fatalf("only %d requests to begin with", len(corpus))
	}
	workers := runtime.GOMAXPROCS(0)
	fuzzers := make([]*fuzzed, workers)
	seed := uint64(time.Now().UnixNano())
	began := time.Now()
	var all sync.WaitGroup
	for w := range workers {
		z := newFuzzed(t)
		fuzzers[w] = z
		all.Go(func() {
			r := mutator{rand.New(rand.NewPCG(seed, uint64(w))), corpus}
			for n := w; n < executions && !t.Failed(); n += workers {
				in := r.mutated()
				if wrong := z.survives(&in); wrong != "" {
					t.Errorf("seed %d, execution %d: %s for %q", seed, n, wrong, in)
				}
			}
		})
	}
	if all.Wait(); t.Failed() {
		return
	}
	slowest := time.Duration(0)
	for _, z := range fuzzers {
		slowest = max(slowest, z.slowest)
	}
	took := time.Since(began)
	t.Logf("%d executions from %d requests in %v (%.0f a second), seed %d; none crashed; the slowest took %v",
		executions, len(corpus), took.Round(time.Millisecond), float64(executions)/took.Seconds(), seed, slowest)
}

// survives is run, with a panic as one thing that may be wrong.
func (z *fuzzed) survives(in *input) (wrong string) {
	defer func() {
		if v := recover(); v != nil {
			wrong = "it panics"
		}
	}()
	return z.run(in.request(), []byte(in.body))
}

// found reads what go test's fuzzing has kept in a folder.
func found(t *testing.T, dir string) (all []input) {
	if dir == "" {
		return nil
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		if len(lines) != 6 {
			t.Fatalf("%s is no input of FuzzHTTP", path)
		}
		var parts [5]string
		for i, line := range lines[1:] {
			quoted := strings.TrimSuffix(line[strings.Index(line, "(")+1:], ")")
			if parts[i], err = strconv.Unquote(quoted); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
		}
		all = append(all, input{parts[0], parts[1], parts[2], parts[3], parts[4]})
	}
	return all
}

// mutator alters requests.
type mutator struct {
	*rand.Rand
	corpus []input
}

func (m mutator) mutated() input {
	in := m.corpus[m.IntN(len(m.corpus))]
	for range 1 + m.IntN(4) {
		other := m.corpus[m.IntN(len(m.corpus))]
		switch m.IntN(16) {
		case 0:
			in.target = m.text(in.target, other.target)
		case 1:
			in.headers = m.text(in.headers, other.headers)
		case 2:
			switch m.IntN(3) {
			case 0:
				in.method = m.text(in.method, other.method)
			case 1:
				in.contentType = m.text(in.contentType, other.contentType)
			case 2:
				in.contentType, in.target = other.contentType, other.target
			}
		default:
			in.body = m.text(in.body, other.body)
		}
	}
	return in
}

// words are what parsers of requests have opinions on.
var words = []string{
	"null", "true", "-1", "1e309", "0.0000001", "9223372036854775808", "1E400", "[]", "{}", "[[[[[[[[", `{"a":{"a":{"a":`, `""`, `"`, `\`, `\u0000`, `\ud800`, `\udc00\ud800`, "\x00", "\xff\xfe", "\u2028",
	"=", "==", "aGVsbG8", "aGVsbG8=", "&", "+", "%", "%00", "%zz", ".member.", ".member.1", ".member.999999999", ".entry.1.key", "Action=", "&Version=", "&Tags=", ",", ":", "\n", "\r\n", " ", "<", "]]>",
	`,"KeyId":"a"`, `"KeyId":`, `"Recipient":{}`, `"MultiRegion":true`, `"DryRun":true`, "Transfer-Encoding: chunked\n", "Content-Encoding: gzip\n", ":url: /?Action=a\n", "X-Amz-Target: ",
}

// text alters s, sometimes with a part of another one.
func (m mutator) text(s, other string) string {
	at := m.IntN(len(s) + 1)
	end := min(len(s), at+m.IntN(16))
	switch m.IntN(8) {
	case 0: // other bits
		if at < len(s) {
			return s[:at] + string([]byte{s[at] ^ byte(1<<m.IntN(8))}) + s[at+1:]
		}
		return s + string([]byte{byte(m.IntN(256))})
	case 1: // a word more
		return s[:at] + words[m.IntN(len(words))] + s[at:]
	case 2: // a word in the place of a part
		return s[:at] + words[m.IntN(len(words))] + s[end:]
	case 3: // less
		return s[:at] + s[end:]
	case 4: // a part once more
		return s[:end] + s[at:]
	case 5: // a part many times
		return s[:at] + strings.Repeat(s[at:end], 1+m.IntN(200)) + s[end:]
	case 6: // the end of another
		return s[:at] + other[m.IntN(len(other)+1):]
	}
	return s[:at] // no end
}
