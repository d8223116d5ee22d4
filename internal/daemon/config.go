package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/server"
)

// ConfigFile is the name of the configuration file in a data folder.
const ConfigFile = "kmsd.yaml"

// Config is how a kmsd runs. It is read from kmsd.yaml, whose keys are the yaml names below; an environment variable KMSD_<KEY> in
// upper case overrides a key of the top level, or one that names its variable, and a flag overrides both. Unknown keys are errors. Relative paths are below the
// data folder. The zero value of a key is its default.
type Config struct {
	// Data is the folder that kmsd keeps everything in. It is not a key of the file: the file is in it.
	Data string `yaml:"-"`

	// Listen is where gRPC is served, "host:port". Default 127.0.0.1:7443.
	Listen string `yaml:"listen,omitempty"`
	// AdminListen is where /metrics, /healthz and /readyz are served in clear: a loopback address, or "off". Default 127.0.0.1:7444.
	AdminListen string `yaml:"admin_listen,omitempty"`
	// Hosts are the DNS names and IP addresses that the server's certificate is for. Default localhost, 127.0.0.1, ::1 and
	// the host of listen.
	Hosts []string `yaml:"hosts,omitempty"`
	// LogLevel is debug, info, warn or error. Default info.
	LogLevel string `yaml:"log_level,omitempty"`

	// Seal says where the root key comes from.
	Seal SealConfig `yaml:"seal,omitempty"`
	// TLS replaces the certificate that kmsd issues for itself.
	TLS TLSConfig `yaml:"tls,omitempty"`
	// Audit says how the audit log is kept.
	Audit AuditConfig `yaml:"audit,omitempty"`
	// OIDC says from where the keys of identity providers may be fetched.
	OIDC OIDCConfig `yaml:"oidc,omitempty"`
	// AWS says where clients that were written for AWS are served.
	AWS AWSConfig `yaml:"aws,omitempty"`
	// K8s makes kmsd the KMS v2 plugin of a Kubernetes API server on this machine.
	K8s K8sConfig `yaml:"k8s,omitempty"`
	// Limits bound what clients can make kmsd hold.
	Limits LimitsConfig `yaml:"limits,omitempty"`
}

// OIDCConfig bounds the only connections that kmsd opens of its own accord: who may make identity providers chooses the URL of their keys, and could
// otherwise reach whatever this machine can.
type OIDCConfig struct {
	// Hosts are the hosts from which keys may be fetched: names or addresses in lower case, with ":port" unless it is 443. Default none, so that
	// keys have to be given with the provider.
	Hosts []string `yaml:"hosts,omitempty"`
	// CAFile holds the authorities, PEM, that these hosts' certificates must be of. Default those of the system.
	CAFile string `yaml:"ca_file,omitempty"`
}

// SealConfig names one place that the root key comes from.
type SealConfig struct {
	// KeyFile is a file of 32 random bytes, mode 0600.
	KeyFile string `yaml:"key_file,omitempty"`
	// PassphraseFile is a file, mode 0600, that holds the passphrase. "-" reads it from the terminal or standard input at the start.
	PassphraseFile string `yaml:"passphrase_file,omitempty"`
	// RequireLockedMemory makes kmsd refuse to start where the kernel does not let it lock the domain key in memory.
	RequireLockedMemory bool `yaml:"require_locked_memory,omitempty"`
}

// TLSConfig names a certificate of one's own, PEM. Both or none.
type TLSConfig struct {
	CertFile string `yaml:"cert_file,omitempty"`
	KeyFile  string `yaml:"key_file,omitempty"`
}

// AuditConfig says how the audit log is kept. Where it is kept cannot be changed while kmsd runs, nor by a call.
type AuditConfig struct {
	// Dir is the log's folder; best on a volume of its own. Default "audit".
	Dir string `yaml:"dir,omitempty"`
	// SegmentMiB is the size at which a file of the log ends. Default 64.
	SegmentMiB int64 `yaml:"segment_mib,omitempty"`
}

// LimitsConfig has server.Limits by their names in the file.
type LimitsConfig struct {
	Connections      int           `yaml:"connections,omitempty"`                // default 4096
	ConnectionsPerIP int           `yaml:"connections_per_ip,omitempty"`         // default 64
	Streams          uint32        `yaml:"streams,omitempty"`                    // calls at a time on one connection; default 128
	MessageBytes     int           `yaml:"message_bytes,omitempty"`              // default 262144
	CallTimeout      time.Duration `yaml:"call_timeout,omitempty"`               // default 10s
	IdleTimeout      time.Duration `yaml:"idle_timeout,omitempty"`               // default 5m
	HandshakeTimeout time.Duration `yaml:"handshake_timeout,omitempty"`          // default 5s
	ConnectionAge    time.Duration `yaml:"connection_age,omitempty"`             // default 30m
	Unauthenticated  int           `yaml:"unauthenticated_per_second,omitempty"` // calls without valid credentials that are recorded one by one; default 100
}

func (l LimitsConfig) limits() server.Limits {
	return server.Limits{
		Connections: l.Connections, ConnectionsPerIP: l.ConnectionsPerIP, Streams: l.Streams, MessageBytes: l.MessageBytes,
		Call: l.CallTimeout, Idle: l.IdleTimeout, Handshake: l.HandshakeTimeout, Age: l.ConnectionAge,
		UnauthenticatedPerSecond: l.Unauthenticated,
	}
}

// Load reads the configuration of a data folder and lays the environment over it, entries of the form KMSD_LISTEN=…. What is wrong is said
// with line and column. It does not check the values: Check does, once flags have been laid over them too.
func Load(data string, environ []string) (Config, error) {
	cfg := Config{}
	path := filepath.Join(data, ConfigFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return cfg, fmt.Errorf("%s is no data folder of kmsd: it has no %s. Make one with: kmsd init --data %s", data, ConfigFile, data)
	}
	if err != nil {
		return cfg, err
	}
	if err := yaml.UnmarshalWithOptions(text, &cfg, yaml.Strict()); err != nil {
		return cfg, fmt.Errorf("%s: %w", path, err)
	}
	cfg.Data = data
	return cfg, cfg.overlay(environ)
}

// UnknownVariables returns the names of variables that begin with KMSD_ and are none that kmsd or kmsctl reads: typos, most likely.
func UnknownVariables(environ []string) (unknown []string) {
	known := map[string]bool{"KMSD_DATA": true, client.EnvCredentials: true, client.EnvEndpoint: true}
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		known[variable(t.Field(i))] = true
		if section := t.Field(i).Type; section.Kind() == reflect.Struct {
			for j := range section.NumField() {
				known[section.Field(j).Tag.Get("env")] = true
			}
		}
	}
	for _, e := range environ {
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "KMSD_") && !known[name] {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

// variable is the name of the variable that overrides a key.
func variable(f reflect.StructField) string {
	return "KMSD_" + strings.ToUpper(strings.TrimSuffix(f.Tag.Get("yaml"), ",omitempty"))
}

// overlay lays KMSD_<KEY> variables over the keys of the top level, and over those below that name theirs.
func (c *Config) overlay(environ []string) error {
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		if section := v.Field(i); section.Kind() == reflect.Struct {
			overlaySection(section, environ)
		}
		name := variable(v.Type().Field(i))
		value, ok := lookup(environ, name)
		if !ok {
			continue
		}
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString(value)
		case reflect.Slice:
			f.Set(reflect.ValueOf(strings.Split(value, ",")))
		default:
			return fmt.Errorf("%s: this key has keys below it: set them in %s", name, ConfigFile)
		}
	}
	return nil
}

func overlaySection(section reflect.Value, environ []string) {
	for i := range section.NumField() {
		if name := section.Type().Field(i).Tag.Get("env"); name != "" {
			if value, ok := lookup(environ, name); ok {
				section.Field(i).SetString(value)
			}
		}
	}
}

func lookup(environ []string, name string) (string, bool) {
	for _, e := range environ {
		if k, v, ok := strings.Cut(e, "="); ok && k == name {
			return v, true
		}
	}
	return "", false
}

// Check fills in defaults and says what is wrong.
func (c *Config) Check() error {
	orDefault(&c.Listen, "127.0.0.1:7443")
	orDefault(&c.AdminListen, "127.0.0.1:7444")
	orDefault(&c.LogLevel, "info")
	orDefault(&c.Audit.Dir, "audit")
	host, err := checkAddress("listen", c.Listen)
	if err != nil {
		return err
	}
	if len(c.Hosts) == 0 {
		c.Hosts = []string{"localhost", "127.0.0.1", "::1"}
		if ip := net.ParseIP(host); host != "" && host != "localhost" && (ip == nil || !ip.IsUnspecified() && !ip.IsLoopback()) {
			c.Hosts = append(c.Hosts, host)
		}
	}
	if err := c.checkAdmin(); err != nil {
		return err
	}
	if _, err := c.level(); err != nil {
		return err
	}
	switch {
	case (c.Seal.KeyFile == "") == (c.Seal.PassphraseFile == ""):
		return errors.New("seal: give one of key_file and passphrase_file")
	case (c.TLS.CertFile == "") != (c.TLS.KeyFile == ""):
		return errors.New("tls: cert_file and key_file go together")
	case c.Audit.SegmentMiB < 0 || c.Audit.SegmentMiB > 4096:
		return errors.New("audit.segment_mib: must be 1 to 4096, or 0 for the default")
	}
	return errors.Join(c.AWS.check(), c.K8s.check(), c.Limits.check(), c.checkDistinct())
}

// checkDistinct refuses two listeners at one address. Port 0 is another one each time.
func (c *Config) checkDistinct() error {
	keys := map[string]string{} // :: address → its key
	for _, one := range []struct{ key, address string }{{"listen", c.Listen}, {"admin_listen", c.AdminListen}, {"aws.listen", c.AWS.Listen}} {
		if other, taken := keys[one.address]; taken && one.address != "" && !strings.HasSuffix(one.address, ":0") {
			return fmt.Errorf("%s: %s is the address of %s: give each its own", one.key, one.address, other)
		}
		keys[one.address] = one.key
	}
	return nil
}

func (l LimitsConfig) check() error {
	for _, one := range []struct {
		key   string
		value int64
	}{
		{"connections", int64(l.Connections)},
		{"connections_per_ip", int64(l.ConnectionsPerIP)},
		{"message_bytes", int64(l.MessageBytes)},
		{"call_timeout", int64(l.CallTimeout)},
		{"idle_timeout", int64(l.IdleTimeout)},
		{"handshake_timeout", int64(l.HandshakeTimeout)},
		{"connection_age", int64(l.ConnectionAge)},
		{"unauthenticated_per_second", int64(l.Unauthenticated)},
	} {
		if one.value < 0 {
			return fmt.Errorf("limits.%s: must not be negative", one.key)
		}
	}
	if n := l.MessageBytes; n != 0 && (n < 128<<10 || n > 4<<20) {
		return errors.New("limits.message_bytes: must be 131072 to 4194304")
	}
	return nil
}

func checkAddress(key, address string) (host string, err error) {
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %q is not host:port", key, address)
	}
	return host, nil
}

// AdminOff is the admin_listen that opens no admin listener.
const AdminOff = "off"

func (c *Config) checkAdmin() error {
	if c.AdminListen == AdminOff {
		return nil
	}
	host, err := checkAddress("admin_listen", c.AdminListen)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("admin_listen: %q is not a loopback address: what it serves is not encrypted", c.AdminListen)
	}
	return nil
}

func (c *Config) level() (slog.Level, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return 0, fmt.Errorf("log_level: %q is none of debug, info, warn and error", c.LogLevel)
	}
	return l, nil
}

func (c *Config) path(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(c.Data, p)
}

// AbsoluteSeal makes the paths of a seal that were given on a command line independent of the folder that it ran in.
func AbsoluteSeal(s *SealConfig) error {
	for _, p := range []*string{&s.KeyFile, &s.PassphraseFile} {
		if *p == "" || *p == "-" {
			continue
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		*p = abs
	}
	return nil
}

func orDefault(field *string, value string) {
	if *field == "" {
		*field = value
	}
}
