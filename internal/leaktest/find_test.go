package leaktest

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

func TestFinderKnowsEveryEncoding(t *testing.T) {
	secret := []byte("\xfb\xef\xbe\xff\x00\x01 \x80\"\\kmsd-material-of-test\xfe\xdc\xba")
	if len(secret)%4 != 0 {
		secret = secret[:len(secret)/4*4]
	}
	word := func(order binary.ByteOrder, i int) uint32 { return order.Uint32(secret[4*i:]) }
	for _, c := range []struct{ name, text, want string }{
		{"raw bytes", "key=" + string(secret), "bytes"},
		{"8 raw bytes", "key=" + string(secret[3:11]), "bytes"},
		{"a Go string", strconv.Quote(string(secret)), "bytes"},
		{"a Go string in ASCII", strconv.QuoteToASCII(string(secret)), "bytes"},
		{"lower-case hexadecimal", fmt.Sprintf("%x", secret), "hexadecimal"},
		{"upper-case hexadecimal", fmt.Sprintf("%#X", secret), "hexadecimal"},
		{"8 bytes in hexadecimal", fmt.Sprintf("%x", secret[5:13]), "hexadecimal"},
		{"base64", base64.StdEncoding.EncodeToString(secret), "base64"},
		{"base64 for URLs", base64.URLEncoding.EncodeToString(secret), "base64"},
		{"base64 after 1 byte", base64.StdEncoding.EncodeToString(append([]byte("1"), secret...)), "base64"},
		{"base64 after 2 bytes", base64.StdEncoding.EncodeToString(append([]byte("12"), secret...)), "base64"},
		{"base64 in lines", strings.Join(strings.SplitAfter(base64.StdEncoding.EncodeToString(secret), "s"), "\n"), "base64"},
		{"characters", fmt.Sprintf("%c", secret), "characters"},
		{"a decimal list", fmt.Sprint(secret), "integers of 8 bits"},
		{"a list of bad verbs", fmt.Sprintf(strings.Clone("%e"), secret), "integers of 8 bits"},
		{"Go syntax", fmt.Sprintf("%#v", secret), "integers of 8 bits"},
		{"a JSON list", strings.ReplaceAll(fmt.Sprint(secret), " ", ","), "integers of 8 bits"},
		{"an octal list", fmt.Sprintf("%O", secret), "integers of 8 bits"},
		{"a binary list", fmt.Sprintf("%#b", secret), "integers of 8 bits"},
		{"a list of code points", fmt.Sprintf("%U", secret), "integers of 8 bits"},
		{"bytes in hexadecimal, apart", fmt.Sprintf("% X", secret), "integers of 8 bits"},
		{"two words, big endian", fmt.Sprintf("[1 %d %d 2]", word(binary.BigEndian, 3), word(binary.BigEndian, 4)), "integers of 32 bits"},
		{"two words, little endian", fmt.Sprintf("[1 %d %d 2]", word(binary.LittleEndian, 2), word(binary.LittleEndian, 3)), "integers of 32 bits"},
		{"two words in Go syntax", fmt.Sprintf("{0x%x, 0x%x}", word(binary.LittleEndian, 5), word(binary.LittleEndian, 6)), "integers of 32 bits"},
		{"a long word", fmt.Sprintf("[%d]", binary.LittleEndian.Uint64(secret[8:])), "integers of 64 bits"},
		{"7 bytes", fmt.Sprintf("%x %v", secret[9:16], secret[9:16]), ""},
		{"one word", fmt.Sprintf("[1 %d 2]", word(binary.BigEndian, 3)), ""},
		{"two words apart", fmt.Sprintf("[%d 7 %d]", word(binary.BigEndian, 3), word(binary.BigEndian, 4)), ""},
		{"nothing", "", ""},
		{"an address", "0xc000012345", ""},
	} {
		if got := newFinder(secret).find(c.text); got != c.want {
			t.Errorf("%s: find(%q) = %q, want %q", c.name, c.text, got, c.want)
		}
	}
}
