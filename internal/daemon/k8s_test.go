package daemon

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kmsd/kmsd/client"
)

// TestK8sThatCannotBe: a plugin that cannot be started keeps kmsd from starting, which says why and leaves nothing open.
func TestK8sThatCannotBe(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	if _, err := Init(InitOptions{Config: Config{Data: data}}); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(data, RootCredentialsFile)
	file := filepath.Join(data, "file")
	if err := os.WriteFile(file, []byte("nothing"), client.FileMode); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name  string
		k8s   K8sConfig
		wrong string
	}{
		{"no credentials", K8sConfig{"s", "alias/k", "none.yaml"}, "k8s.credentials_file: "},
		{"credentials that are none", K8sConfig{"s", "alias/k", "file"}, "k8s.credentials_file: "},
		{"a file in the place of the socket", K8sConfig{"file", "alias/k", root}, "k8s.socket: "},
		{"a key id that is too long", K8sConfig{"s", strings.Repeat("k", 2049), root}, "k8s: "},
		{"all that is needed", K8sConfig{"s", "alias/k", root}, ""},
	} {
		cfg, err := Load(data, nil)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Listen, cfg.AdminListen, cfg.K8s = "127.0.0.1:0", AdminOff, row.k8s
		if err := cfg.Check(); err != nil {
			t.Fatal(err)
		}
		d, err := Start(cfg, Options{Version: "test", LogTo: &bytes.Buffer{}})
		if (err == nil) != (row.wrong == "") || err != nil && !strings.Contains(err.Error(), row.wrong) {
			t.Errorf("%s: Start = %v, want an error that says %q", row.name, err, row.wrong)
		}
		if err == nil {
			if err := d.Shutdown(t.Context()); err != nil {
				t.Errorf("%s: Shutdown = %v", row.name, err)
			}
		}
		if _, err := os.Lstat(filepath.Join(data, "s")); err == nil {
			t.Errorf("%s: the socket is there after the end", row.name)
		}
	}
}
