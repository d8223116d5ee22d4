package idempotency

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/storage"
)

const kind storage.Kind = "test-token"

// noon is an instant. It is never written.
var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// fixture is a log on a real store.
type fixture struct {
	*Log
	t     *testing.T
	store *storage.Store
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	c := storage.Config{Path: filepath.Join(t.TempDir(), "store"), Domain: crypto.RandomSecret(32)}
	if err := storage.Create(c); err != nil {
		t.Fatal(err)
	}
	s, err := storage.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Verify(), s.Close()); err != nil {
			t.Error(err)
		}
	})
	f := &fixture{t: t, store: s}
	f.load()
	return f
}

// load reads the log as a kmsd that starts does.
func (f *fixture) load() {
	f.t.Helper()
	err := f.store.View(func(tx *storage.Tx) (err error) {
		f.Log, err = Load(tx, kind)
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// keep makes a change under a token.
func (f *fixture) keep(token Token, result string, now time.Time) error {
	var k Kept
	err := f.store.Update(func(tx *storage.Tx) (err error) {
		k, err = f.Keep(tx, token, []byte(result), now)
		return err
	})
	if err == nil {
		f.Committed(k)
	}
	return err
}

// find is what a token stands for: its result in quotes, "nothing", or the error.
func (f *fixture) find(token Token, now time.Time) (what string) {
	f.t.Helper()
	err := f.store.View(func(tx *storage.Tx) error {
		result, found, err := f.Find(tx, token, now)
		switch {
		case err != nil:
			what = err.Error()
		case found:
			what = fmt.Sprintf("%q", result)
		default:
			what = "nothing"
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return what
}

// records counts those of the store.
func (f *fixture) records() (n int) {
	f.t.Helper()
	err := f.store.View(func(tx *storage.Tx) error {
		return tx.Walk(kind, "", func(string, []byte) error { n++; return nil })
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func TestATokenStandsForOneChange(t *testing.T) {
	f := newFixture(t)
	token := Token{Account: "1", Principal: "AIDA", Operation: "CreateUser", Value: "t", Request: [32]byte{1}}
	f.must(f.keep(token, "made", noon))
	f.must(f.keep(Token{Account: "1"}, "", noon)) // a change without a token
	for _, again := range []string{"at once", "after a start"} {
		for _, tt := range []struct {
			name   string
			change func(*Token)
			at     time.Duration
			want   string
		}{
			{"as it was", func(*Token) {}, 0, `"made"`},
			{"a millisecond before the day is over", func(*Token) {}, Life - time.Millisecond, `"made"`},
			{"a day later", func(*Token) {}, Life, "nothing"},
			{"other parameters", func(k *Token) { k.Request[31] = 1 }, 0, ErrReused.Error()},
			{"other parameters a day later", func(k *Token) { k.Request[31] = 1 }, Life, "nothing"},
			{"another account", func(k *Token) { k.Account = "2" }, 0, "nothing"},
			{"another principal", func(k *Token) { k.Principal = "AIDB" }, 0, "nothing"},
			{"another operation", func(k *Token) { k.Operation = "DeleteUser" }, 0, "nothing"},
			{"another token", func(k *Token) { k.Value = "T" }, 0, "nothing"},
			{"no token", func(k *Token) { k.Value = "" }, 0, "nothing"},
			{"the same letters elsewhere", func(k *Token) { k.Operation, k.Value = "CreateUsert", "" }, 0, "nothing"},
			{"the same letters, moved", func(k *Token) { k.Principal, k.Operation = "AIDAC", "reateUser" }, 0, "nothing"},
		} {
			asked := token
			tt.change(&asked)
			if got := f.find(asked, noon.Add(tt.at)); got != tt.want {
				t.Errorf("%s, %s: %s, want %s", tt.name, again, got, tt.want)
			}
		}
		f.load()
	}
	if f.Len() != 1 || f.records() != 1 {
		t.Errorf("%d tokens and %d records, want one", f.Len(), f.records())
	}
}

// What has expired goes with later changes, whether these have tokens or not, and what was given again stays.
func TestExpiredTokensGo(t *testing.T) {
	f := newFixture(t)
	token := func(n int) Token { return Token{Account: fmt.Sprint(n % 3), Operation: "X", Value: fmt.Sprint(n)} }
	for n := range 20 {
		f.must(f.keep(token(n), "", noon.Add(time.Duration(n)*time.Second)))
	}
	f.load()
	later := noon.Add(Life + time.Minute)
	f.must(f.keep(token(15), "again", later))
	if got := f.find(token(15), later); got != `"again"` {
		t.Errorf("a token that is given again stands for %s", got)
	}
	for _, want := range []int{5, 1, 1} { // of 20 that have expired eight went with the one that was given again, and eight and four go with the next
		f.must(f.keep(Token{}, "", later))
		if n := f.records(); n != want {
			t.Errorf("%d records, want %d", n, want)
		}
	}
	if got := f.find(token(15), later); got != `"again"` || f.Len() != 1 || len(f.accounts) != 1 {
		t.Errorf("in the end the token stands for %s, and %d of %d accounts are remembered", got, f.Len(), len(f.accounts))
	}
}

// A transaction that is given up leaves nothing behind.
func TestNothingIsKeptOfAChangeThatFails(t *testing.T) {
	f := newFixture(t)
	token := Token{Account: "1", Value: "t"}
	failed := errors.New("failed")
	err := f.store.Update(func(tx *storage.Tx) error {
		if _, err := f.Keep(tx, token, nil, noon); err != nil {
			return err
		}
		return failed
	})
	if !errors.Is(err, failed) || f.find(token, noon) != "nothing" || f.Len() != 0 {
		t.Errorf("after %v the token stands for %s, and %d are remembered", err, f.find(token, noon), f.Len())
	}
}

// Of an account that has too many tokens, the oldest are forgotten; those of others stay.
func TestAnAccountHasSoManyTokens(t *testing.T) {
	f := newFixture(t)
	first, other := Token{Account: "1", Value: "first"}, Token{Account: "2", Value: "t"}
	f.must(f.keep(first, "made", noon))
	f.must(f.keep(other, "made", noon))
	for n := range MaxTokens - 1 { // as if they had been given meanwhile
		f.accounts["1"] = append(f.accounts["1"], entry{id{byte(n), byte(n >> 8), byte(n >> 16)}, noon.Add(Life).UnixMilli()})
	}
	if got := f.find(first, noon); got != `"made"` {
		t.Errorf("the first of %d tokens stands for %s", MaxTokens, got)
	}
	f.must(f.keep(Token{Account: "1"}, "", noon))
	f.must(f.keep(Token{Account: "1", Value: "last"}, "", noon))
	if got := f.find(first, noon); got != "nothing" || len(f.accounts["1"]) != MaxTokens {
		t.Errorf("the first of %d tokens stands for %s, and %d are remembered", MaxTokens+1, got, len(f.accounts["1"]))
	}
	if got := f.find(other, noon); got != `"made"` {
		t.Errorf("the token of another account stands for %s", got)
	}
}

func TestLoadNamesWhatItCannotRead(t *testing.T) {
	good := record{noon.UnixMilli(), [32]byte{}, nil}.encode()
	for path, value := range map[string][]byte{
		"1/" + strings.Repeat("0", 32):         good[:headerSize-1],
		"1/" + strings.Repeat("1", 32):         append([]byte{2}, good[1:]...),
		"1/" + strings.Repeat("A", 32):         good, // upper case
		"1/" + strings.Repeat("0", 31):         good,
		"1/" + strings.Repeat("0", 33):         good,
		"1/" + strings.Repeat("0", 32) + "/00": good,
		strings.Repeat("0", 32):                good,
	} {
		f := newFixture(t)
		f.must(f.store.Update(func(tx *storage.Tx) error { return tx.Put(kind, path, value) }))
		err := f.store.View(func(tx *storage.Tx) error {
			_, err := Load(tx, kind)
			return err
		})
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("Load of %q = %v, want an error that names it", path, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{})
	f.Add(record{noon.UnixMilli(), [32]byte{1}, nil}.encode())
	f.Add(record{1, [32]byte{2}, []byte(`{"ID":"x"}`)}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decode(b)
		if err != nil {
			if r.result != nil || r.expires != 0 {
				t.Errorf("decode(%x) = %+v beside %v", b, r, err)
			}
			return
		}
		if !bytes.Equal(r.encode(), b) {
			t.Errorf("decode(%x) is written %x", b, r.encode())
		}
	})
}
