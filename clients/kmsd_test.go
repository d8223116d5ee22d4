package clients

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// What the kmsd of the tests is: a region of AWS's and one account.
const (
	region  = "eu-central-1"
	account = "123456789012"
)

// binaries is the folder of kmsd and kmsctl.
var binaries = cmp.Or(os.Getenv("KMSD_BIN"), "../bin")

// kmsd is a process of kmsd with a data folder of its own, and the root user's credentials.
type kmsd struct {
	dir, data string
	bin       string
	region    string
	address   string // of gRPC
	endpoint  string // of the AWS front, an URL
	keyID     string // access key of the root user
	secret    string
	caFile    string

	cmd    *exec.Cmd
	log    lockedBuffer
	exited chan struct{}
}

// lockedBuffer keeps what a process says.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// server starts a kmsd for a test.
func server(t *testing.T) *kmsd {
	t.Helper()
	k, err := startKmsd(region)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.close(); err != nil {
			t.Errorf("stopping kmsd: %v", err)
		}
	})
	return k
}

// startKmsd makes a data folder and starts a kmsd over it.
func startKmsd(region string) (_ *kmsd, err error) {
	bin, err := filepath.Abs(binaries)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(bin, "kmsd")); err != nil {
		return nil, fmt.Errorf("%w: run `make build`", err)
	}
	dir, err := os.MkdirTemp("", "kmsd-")
	if err != nil {
		return nil, err
	}
	k := &kmsd{dir: dir, data: filepath.Join(dir, "data"), bin: bin, region: region}
	defer func() {
		if err != nil {
			err = errors.Join(err, k.close())
		}
	}()
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	k.address = fmt.Sprintf("127.0.0.1:%d", ports[0])
	k.endpoint = fmt.Sprintf("https://127.0.0.1:%d", ports[1])
	init := []string{
		"init", "--data", k.data, "--listen", k.address, "--admin-listen", "off", "--aws-listen", fmt.Sprintf("127.0.0.1:%d", ports[1]),
		"--account-id", account,
	}
	if region != "" {
		init = append(init, "--region", region)
	}
	if out, err := exec.Command(filepath.Join(bin, "kmsd"), init...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("kmsd init: %w: %s", err, out)
	}
	if err := k.readCredentials(); err != nil {
		return nil, err
	}
	return k, k.start()
}

// freePorts are TCP ports of the loopback address that nobody listened on just now.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// readCredentials takes what clients need from where users get it: kmsctl config aws.
func (k *kmsd) readCredentials() error {
	k.caFile = filepath.Join(k.dir, "ca.pem")
	out, err := k.run("config", "aws", "--endpoint", k.endpoint, "--secret", "--ca-file", k.caFile, "-o", "json")
	if err != nil {
		return err
	}
	var answer struct {
		Environment map[string]string `json:"environment"`
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		return fmt.Errorf("kmsctl config aws: %w", err)
	}
	k.keyID, k.secret = answer.Environment["AWS_ACCESS_KEY_ID"], answer.Environment["AWS_SECRET_ACCESS_KEY"]
	k.region = answer.Environment["AWS_REGION"]
	if k.keyID == "" || k.secret == "" || k.region == "" {
		return errors.New("kmsctl config aws: no credentials or no region in its answer")
	}
	return nil
}

// start starts the process and waits until the front answers.
func (k *kmsd) start() error {
	k.cmd = exec.Command(filepath.Join(k.bin, "kmsd"), "serve", "--data", k.data)
	k.cmd.Stdout, k.cmd.Stderr = &k.log, &k.log
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	started := make(chan error)
	exited := make(chan struct{})
	go func() {
		runtime.LockOSThread() // whose end is what Pdeathsig is about
		defer runtime.UnlockOSThread()
		defer close(exited)
		err := k.cmd.Start()
		started <- err
		if err == nil {
			k.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	k.exited = exited
	h, err := k.httpClient()
	if err != nil {
		return err
	}
	defer h.CloseIdleConnections()
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		answer, err := h.Post(k.endpoint, "application/x-amz-json-1.1", strings.NewReader("{}"))
		if err == nil {
			answer.Body.Close()
			return nil
		}
		select {
		case <-k.exited:
			return fmt.Errorf("kmsd has ended: %s", tail(k.log.String()))
		default:
		}
		if time.Now().After(until) {
			return fmt.Errorf("kmsd does not answer: %w: %s", err, tail(k.log.String()))
		}
	}
}

// close stops the process that was started, by its id, and removes the folder.
func (k *kmsd) close() error {
	var err error
	if k.exited != nil {
		k.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-k.exited:
		case <-time.After(10 * time.Second):
			k.cmd.Process.Kill()
			<-k.exited
		}
		if code := k.cmd.ProcessState.ExitCode(); code != 0 {
			err = fmt.Errorf("kmsd ended with %v: %s", k.cmd.ProcessState, tail(k.log.String()))
		}
	}
	return errors.Join(err, os.RemoveAll(k.dir))
}

// httpClient trusts the CA of kmsd, and nobody else.
func (k *kmsd) httpClient() (*http.Client, error) {
	pem, err := os.ReadFile(k.caFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", k.caFile)
	}
	return &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true},
		Timeout:   30 * time.Second,
	}, nil
}

// run runs kmsctl as the root user and returns what it prints.
func (k *kmsd) run(args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(k.bin, "kmsctl"), append([]string{"--credentials", filepath.Join(k.data, "root-credentials.yaml")}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("kmsctl %s: %w: %s", strings.Join(args, " "), err, tail(stderr.String()))
	}
	return string(out), nil
}

// kmsctl is run in a test.
func (k *kmsd) kmsctl(t testing.TB, args ...string) string {
	t.Helper()
	out, err := k.run(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// env is what tells a client of AWS where kmsd is and who calls, in the names that the SDKs agree on.
func (k *kmsd) env() []string {
	return []string{
		"AWS_REGION=" + k.region, "AWS_DEFAULT_REGION=" + k.region,
		// Not AWS_ENDPOINT_URL alone: the SDK for Go does not yet know it when it asks STS for the credentials of a profile.
		"AWS_ENDPOINT_URL_KMS=" + k.endpoint, "AWS_ENDPOINT_URL_STS=" + k.endpoint, "AWS_ENDPOINT_URL_IAM=" + k.endpoint, "AWS_ENDPOINT_URL_ORGANIZATIONS=" + k.endpoint,
		"AWS_CA_BUNDLE=" + k.caFile, "NODE_EXTRA_CA_CERTS=" + k.caFile,
		"AWS_ACCESS_KEY_ID=" + k.keyID, "AWS_SECRET_ACCESS_KEY=" + k.secret,
	}
}

// setenv gives the test's own process the environment of env.
func (k *kmsd) setenv(t *testing.T) {
	t.Helper()
	for _, pair := range k.env() {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
}

// arn is the ARN of a key or an alias of the account.
func (k *kmsd) arn(resource string) string {
	return "arn:aws:kms:" + k.region + ":" + account + ":" + resource
}

// description is what kmsctl tells of a key.
type description struct {
	ID       string `json:"key_id"`
	Arn      string `json:"arn"`
	Material string `json:"current_key_material_id"`
}

// describe describes a key by kmsctl.
func (k *kmsd) describe(t testing.TB, keyID string) description {
	t.Helper()
	var d description
	if err := json.Unmarshal([]byte(k.kmsctl(t, "key", "describe", keyID, "-o", "json")), &d); err != nil {
		t.Fatal(err)
	}
	if d.Arn == "" {
		t.Fatalf("kmsctl key describe %s -o json says no ARN", keyID)
	}
	return d
}
