package daemon

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/kmsd/kmsd/crypto"
)

const maxPassphrase = 1024 // bytes

// ReadPassphraseFile reads a passphrase from a file that only its owner may read. A line break at its end does not count.
func ReadPassphraseFile(path string) (crypto.Secret, error) {
	f, err := os.Open(path)
	if err != nil {
		return crypto.Secret{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return crypto.Secret{}, err
	}
	if st.Mode().Perm()&0o077 != 0 {
		return crypto.Secret{}, fmt.Errorf("%s can be read by others (mode %04o): chmod 600 %s", path, st.Mode().Perm(), path)
	}
	return readPassphrase(f)
}

// AskPassphrase asks on the terminal, twice for a new passphrase, or reads a line where there is no terminal.
func AskPassphrase(in *os.File, prompt io.Writer, fresh bool) (crypto.Secret, error) {
	if !term.IsTerminal(int(in.Fd())) {
		return readPassphrase(in)
	}
	first, err := askOnce(in, prompt, "Passphrase of the seal: ")
	if err != nil || !fresh {
		return first, err
	}
	second, err := askOnce(in, prompt, "The same again: ")
	if err != nil {
		return crypto.Secret{}, err
	}
	defer second.Wipe()
	if !first.Equal(second) {
		first.Wipe()
		return crypto.Secret{}, errors.New("the two passphrases differ")
	}
	return first, nil
}

func askOnce(in *os.File, prompt io.Writer, question string) (crypto.Secret, error) {
	fmt.Fprint(prompt, question)
	b, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(prompt)
	if err != nil {
		return crypto.Secret{}, err
	}
	return crypto.NewSecret(b), nil
}

func readPassphrase(r io.Reader) (crypto.Secret, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxPassphrase+1)).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return crypto.Secret{}, err
	}
	line = bytes.TrimRight(line, "\r\n")
	if len(line) == 0 || len(line) > maxPassphrase {
		return crypto.Secret{}, fmt.Errorf("the passphrase has %d bytes, must have 1 to %d", len(line), maxPassphrase)
	}
	return crypto.NewSecret(line), nil
}
