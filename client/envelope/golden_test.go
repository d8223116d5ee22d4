package envelope

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kmsd/kmsd/crypto"
)

var update = flag.Bool("update", false, "write this package's golden messages anew")

// golden is testdata/golden/golden.json: messages of this package (go-*) and of the AWS Encryption SDK for JavaScript
// (js-*, made by interop/golden.mjs), all under one data key that everyone may know. interop/run has the SDK read both.
type golden struct {
	KeyARN           string          `json:"key_arn"`
	DataKey          []byte          `json:"data_key"`
	EncryptedDataKey []byte          `json:"encrypted_data_key"`
	Messages         []goldenMessage `json:"messages"`
}

type goldenMessage struct {
	Name        string            `json:"name"`
	Size        int               `json:"size"`
	FrameLength int               `json:"frame_length"`
	Context     map[string]string `json:"context"`
	Message     []byte            `json:"message"`
}

// pattern is the plaintext of golden messages: byte i is i*31 + i>>8, modulo 256.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*31 + i>>8)
	}
	return b
}

// goldenKMS gives out the one data key.
type goldenKMS struct{ g *golden }

func (k goldenKMS) GenerateDataKey(context.Context, string, map[string]string) (DataKey, error) {
	return DataKey{Plaintext: crypto.NewSecret(bytes.Clone(k.g.DataKey)), Ciphertext: k.g.EncryptedDataKey, KeyARN: k.g.KeyARN}, nil
}

func (k goldenKMS) DecryptDataKey(ctx context.Context, keyARN string, ciphertext []byte, _ map[string]string) (DataKey, error) {
	if keyARN != k.g.KeyARN || !bytes.Equal(ciphertext, k.g.EncryptedDataKey) {
		return DataKey{}, errFakeCiphertext
	}
	return k.GenerateDataKey(ctx, keyARN, nil)
}

func TestGolden(t *testing.T) {
	file := filepath.Join("testdata", "golden", "golden.json")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	if *update {
		updateGolden(t, &g, file)
	}
	counts := map[string]int{} // :: maker → messages
	for _, m := range g.Messages {
		var out bytes.Buffer
		info, err := Decrypt(t.Context(), goldenKMS{&g}, &out, bytes.NewReader(m.Message), DecryptOptions{Context: m.Context})
		if err != nil || !bytes.Equal(out.Bytes(), pattern(m.Size)) {
			t.Errorf("%s: Decrypt = %v and %d bytes, want the %d encrypted", m.Name, err, out.Len(), m.Size)
			continue
		}
		if !maps.Equal(info.Context, m.Context) || info.FrameLength != m.FrameLength || info.KeyARN != g.KeyARN {
			t.Errorf("%s: Info = %+v, want frames of %d bytes and the context %v", m.Name, info, m.FrameLength, m.Context)
		}
		maker, _, _ := strings.Cut(m.Name, "-")
		counts[maker]++
	}
	if counts["js"] == 0 || counts["go"] == 0 {
		t.Errorf("golden messages by maker: %v, want some of js and some of go", counts)
	}
}

func updateGolden(t *testing.T, g *golden, file string) {
	t.Helper()
	kept := g.Messages[:0]
	for _, m := range g.Messages {
		if !strings.HasPrefix(m.Name, "go-") {
			kept = append(kept, m)
		}
	}
	g.Messages = kept
	for _, m := range []goldenMessage{
		{Name: "go-empty", Size: 0, FrameLength: MinFrameLength, Context: map[string]string{}},
		{Name: "go-one-byte", Size: 1, FrameLength: DefaultFrameLength, Context: map[string]string{"purpose": "test"}},
		{Name: "go-whole-frames", Size: 2 * MinFrameLength, FrameLength: MinFrameLength, Context: map[string]string{"b": "2", "B": "1", "empty": ""}},
		{Name: "go-unicode", Size: MinFrameLength + 1, FrameLength: MinFrameLength, Context: map[string]string{
			"größe": "grün", "\U0001F511": "鍵", "\uffff": "sorts before \U0001F511 in UTF-8",
		}},
	} {
		m.Message = mustEncrypt(t, goldenKMS{g}, pattern(m.Size), EncryptOptions{Context: m.Context, FrameLength: m.FrameLength})
		g.Messages = append(g.Messages, m)
	}
	b, err := json.MarshalIndent(g, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
