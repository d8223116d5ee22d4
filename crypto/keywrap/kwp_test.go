package keywrap

import (
	"encoding/binary"
	"testing"
)

// Of what AES decrypts to, nothing is taken but the prefix, a length within the last semiblock, and zeros after it.
func TestKWPCheck(t *testing.T) {
	for _, c := range []struct {
		name   string
		prefix string
		length uint32
		padded []byte
		ok     bool
	}{
		{"a full semiblock", kwpPrefix, 8, []byte("12345678"), true},
		{"seven bytes", kwpPrefix, 7, []byte("1234567\x00"), true},
		{"one byte", kwpPrefix, 1, []byte("1\x00\x00\x00\x00\x00\x00\x00"), true},
		{"zero that is not padding", kwpPrefix, 8, make([]byte, 8), true},
		{"two semiblocks", kwpPrefix, 9, []byte("123456789\x00\x00\x00\x00\x00\x00\x00"), true},
		{"no bytes", kwpPrefix, 0, make([]byte, 8), false},
		{"a semiblock of padding", kwpPrefix, 8, []byte("12345678\x00\x00\x00\x00\x00\x00\x00\x00"), false},
		{"a length beyond the end", kwpPrefix, 9, []byte("12345678"), false},
		{"a length of 2^16", kwpPrefix, 1 << 16, make([]byte, 8), false},
		{"a length of 2^16+8", kwpPrefix, 1<<16 + 8, []byte("12345678"), false},
		{"a length of 2^31+8", kwpPrefix, 1<<31 + 8, []byte("12345678"), false},
		{"a length of 2^32-1", kwpPrefix, 1<<32 - 1, []byte("12345678"), false},
		{"padding that is not zero, first", kwpPrefix, 4, []byte("1234\x01\x00\x00\x00"), false},
		{"padding that is not zero, last", kwpPrefix, 4, []byte("1234\x00\x00\x00\x80"), false},
		{"another prefix", "\xa6\x59\x59\xa7", 8, []byte("12345678"), false},
		{"the prefix of RFC 3394", "\xa6\xa6\xa6\xa6", 0xa6a6a6a6, []byte("12345678"), false},
	} {
		a := binary.BigEndian.AppendUint32([]byte(c.prefix), c.length)
		if n, ok := kwpCheck(a, c.padded); (ok == 1) != c.ok || c.ok && n != int(c.length) {
			t.Errorf("%s: kwpCheck() = %d, %d, want ok %v", c.name, n, ok, c.ok)
		}
	}
}

// What AES decrypts to is chosen by the fuzzer here, which it cannot reach through AES.
func FuzzKWPCheck(f *testing.F) {
	f.Add([]byte(kwpPrefix+"\x00\x00\x00\x08"), []byte("12345678"))
	f.Add([]byte(kwpPrefix+"\x00\x00\x00\x04"), []byte("1234\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, a, padded []byte) {
		if len(a) != semiblock || len(padded) == 0 || len(padded)%semiblock != 0 || len(padded) > MaxWrapped {
			return
		}
		n, ok := kwpCheck(a, padded)
		want := string(a[:4]) == kwpPrefix && n > len(padded)-semiblock && n <= len(padded) && uint32(n) == binary.BigEndian.Uint32(a[4:])
		for i := n; want && i < len(padded); i++ {
			want = padded[i] == 0
		}
		if (ok == 1) != want {
			t.Errorf("kwpCheck(%x, %x) = %d, %d, want ok %v", a, padded, n, ok, want)
		}
	})
}
