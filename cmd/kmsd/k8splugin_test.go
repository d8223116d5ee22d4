package main

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	kmsapi "k8s.io/kms/apis/v2"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/internal/kmstest"
	"github.com/kmsd/kmsd/internal/logtest"
)

// startPlugin starts kmsd k8s-plugin as a process of its own.
func startPlugin(t *testing.T, socket, keyID, credentials string) (*exec.Cmd, *logtest.Buffer) {
	t.Helper()
	cmd, log := exec.Command(os.Args[0], "k8s-plugin", "--socket", socket, "--key-id", keyID, "--credentials-file", credentials), &logtest.Buffer{}
	cmd.Env, cmd.Stderr = append(os.Environ(), asMain+"=1"), log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return cmd, log
}

func TestK8sPlugin(t *testing.T) {
	kms := kmstest.New(t, nil)
	key := kms.Key().GetArn()
	credentials := kms.CredentialsFile(kms.User("apiserver", kmstest.Allow([]string{"kms:Encrypt", "kms:Decrypt"}, key)))
	socket := filepath.Join(t.TempDir(), "k.sock")
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	api := kmsapi.NewKeyManagementServiceClient(conn)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()

	cmd, _ := startPlugin(t, socket, key, credentials)
	e, err := api.Encrypt(ctx, &kmsapi.EncryptRequest{Plaintext: []byte("the seed"), Uid: "u1"})
	if err != nil {
		t.Fatal(err)
	}
	checkThreads(t, cmd.Process.Pid)
	if info, err := os.Lstat(socket); err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("the socket = %v, %v, want mode 0600", info, err)
	}
	second, log := startPlugin(t, socket, key, credentials)
	if err := second.Wait(); second.ProcessState.ExitCode() != exitError || !strings.Contains(log.String(), "another process listens") {
		t.Errorf("a second plugin on the socket = %v, %s", err, log)
	}
	cmd.Process.Kill() // leaves the socket
	cmd.Wait()         // says that it was killed
	if _, err := os.Lstat(socket); err != nil {
		t.Fatalf("the socket of a process that was killed: %v", err)
	}

	cmd, log = startPlugin(t, socket, key, credentials)
	d, err := api.Decrypt(ctx, &kmsapi.DecryptRequest{Ciphertext: e.GetCiphertext(), KeyId: e.GetKeyId(), Uid: "u2"})
	if err != nil || string(d.GetPlaintext()) != "the seed" {
		t.Errorf("Decrypt after a restart = %q, %v, want the seed", d.GetPlaintext(), err)
	}
	if s, err := api.Status(ctx, &kmsapi.StatusRequest{}); err != nil || s.GetHealthz() != "ok" || s.GetKeyId() != e.GetKeyId() {
		t.Errorf("Status after a restart = %v, %v, want ok and %q", s, err, e.GetKeyId())
	}
	stopPlugin(t, cmd, log)
	if _, err := os.Lstat(socket); err == nil {
		t.Error("the socket is there after the end")
	}
}

// stopPlugin ends a plugin as systemd does, and reads its log.
func stopPlugin(t *testing.T, cmd *exec.Cmd, log *logtest.Buffer) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, log)
	}
	for _, want := range []string{`"msg":"serving Kubernetes"`, `"msg":"the Kubernetes plugin is healthy"`, `"msg":"a call of Kubernetes","operation":"Decrypt","uid":"u2"`, `"msg":"shutting down"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
	if strings.Contains(log.String(), "the seed") {
		t.Errorf("the log has the plaintext:\n%s", log)
	}
	for line := range strings.Lines(log.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("the log has a line that is not JSON: %s", line)
		}
	}
}

// TestK8sPluginWithoutKmsd: the plugin starts before kmsd does, and says what is the matter.
func TestK8sPluginWithoutKmsd(t *testing.T) {
	kms := kmstest.New(t, nil)
	user := kms.Credentials()
	user.Endpoint = freePort(t)
	socket := filepath.Join(t.TempDir(), "k.sock")
	startPlugin(t, socket, "alias/kubernetes", kms.CredentialsFile(user))
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if s, err := kmsapi.NewKeyManagementServiceClient(conn).Status(ctx, &kmsapi.StatusRequest{}); err != nil || !strings.Contains(s.GetHealthz(), "kmsd cannot be reached") {
		t.Errorf("Status = %v, %v, want that kmsd cannot be reached", s, err)
	}
}

func TestK8sPluginCommandLine(t *testing.T) {
	kms := kmstest.New(t, nil)
	dir := t.TempDir()
	good := kms.CredentialsFile(kms.Credentials())
	open := filepath.Join(dir, "open.yaml")
	if err := os.WriteFile(open, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, client.FileMode); err != nil {
		t.Fatal(err)
	}
	at := " --socket " + filepath.Join(dir, "s") + " "
	for _, row := range []struct {
		args string
		code int
		says string
	}{
		{"", exitUsage, "--socket is missing\nhint: kmsd k8s-plugin --help"},
		{at, exitUsage, "--key-id is missing"},
		{at + "--key-id k", exitUsage, "--credentials-file is missing"},
		{at + "--key-id k --credentials-file " + good + " extra", exitUsage, "takes no argument"},
		{at + "--key-id k --log-level loud --credentials-file " + good, exitUsage, "--log-level"},
		{at + "--key-id k --credentials-file " + dir + "/none", exitError, "no such file"},
		{at + "--key-id k --credentials-file " + open, exitError, "chmod 600"},
		{at + "--key-id k --endpoint nowhere --credentials-file " + good, exitError, "host:port"},
		{at + "--key-id " + strings.Repeat("k", 2049) + " --credentials-file " + good, exitError, "at most 2048"},
		{"--key-id k --credentials-file " + good + " --socket " + file, exitError, "no socket"},
	} {
		cmd := exec.Command(os.Args[0], append([]string{"k8s-plugin"}, strings.Fields(row.args)...)...)
		cmd.Env = append(os.Environ(), asMain+"=1")
		out, err := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != row.code || !strings.Contains(string(out), row.says) {
			t.Errorf("kmsd k8s-plugin %s = %d, %v, %s; want %d and %q", row.args, code, err, out, row.code, row.says)
		}
	}
}
