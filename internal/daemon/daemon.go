// Package daemon puts a kmsd together: it makes a data folder, opens one, wires the packages bottom-up, serves, and shuts down in
// reverse. cmd/kmsd gives it flags and signals, internal/kmstest runs it inside a test. It has no logic of keys, permissions or records.
//
// Trust: who can write the configuration file or the data folder decides what kmsd listens on and can stop it from starting; the records
// in the store are safe from them as package storage says.
package daemon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keypair"
	"github.com/kmsd/kmsd/iam"
	"github.com/kmsd/kmsd/keystore"
	"github.com/kmsd/kmsd/seal"
	"github.com/kmsd/kmsd/server"
	"github.com/kmsd/kmsd/storage"
)

// Options are what a start needs beside the configuration.
type Options struct {
	Version    string                        // for the audit log
	LogTo      io.Writer                     // where the log goes; required
	Passphrase func() (crypto.Secret, error) // reads the passphrase; required if the configuration has "-" for it
	OpenAudit  audit.OpenFileFunc            // nil but in tests, which put faults there
	Clock      keystore.Clock                // of the keys; nil stands for the machine's, but in tests, which set it
	TrustClock bool                          // the time since kmsd last ran counts towards the waiting periods of deletions
}

// Daemon is a kmsd that runs.
type Daemon struct {
	cfg    Config
	log    *slog.Logger
	store  *storage.Store
	people *iam.IAM
	keys   *keystore.Keystore
	audit  *audit.Log
	server *server.Server
	domain crypto.Secret

	listener net.Listener
	aws      *door // for clients of AWS
	k8s      *door // for an API server of Kubernetes
	admin    *admin
	cert     atomic.Pointer[tls.Certificate]
	failed   chan error // capacity 1: what kmsd cannot go on after
	stop     context.CancelFunc
	done     sync.WaitGroup
}

// Start opens the data folder and serves. When it returns nil, calls are answered. cfg has been checked.
func Start(cfg Config, o Options) (*Daemon, error) {
	level, err := cfg.level()
	if err != nil {
		return nil, err
	}
	d := &Daemon{cfg: cfg, failed: make(chan error, 1), stop: func() {}, log: slog.New(slog.NewJSONHandler(o.LogTo, &slog.HandlerOptions{Level: level}))}
	if err := d.start(o); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *Daemon) start(o Options) error {
	if err := errors.Join(crypto.SelfTest(), keypair.SelfTest()); err != nil {
		return fmt.Errorf("self-test of the cryptography: %w", err)
	}
	if err := d.open(o); err != nil {
		return err
	}
	return d.serve(o)
}

// fatal ends the daemon: Wait returns err.
func (d *Daemon) fatal(err error) {
	select {
	case d.failed <- err:
	default: // one is enough
	}
}

// open opens what is in the data folder, from the bottom up.
func (d *Daemon) open(o Options) (err error) {
	source, err := d.cfg.source(o.Passphrase)
	if err != nil {
		return err
	}
	lock := seal.Options{RequireLocked: d.cfg.Seal.RequireLockedMemory, Warn: func(err error) { d.log.Warn("memory is not locked", "error", err) }}
	if d.domain, err = lock.Open(d.cfg.path(sealFile), source); err != nil {
		return err
	}
	if d.store, err = storage.Open(storage.Config{Path: d.cfg.path(storeFile), Domain: d.domain, OnBroken: d.fatal}); err != nil {
		return err
	}
	id, place, err := readIdentity(d.store)
	if err != nil {
		return err
	}
	d.audit, err = audit.Open(audit.Config{
		Dir: d.cfg.path(d.cfg.Audit.Dir), SegmentBytes: d.cfg.Audit.SegmentMiB << 20, OpenFile: o.OpenAudit,
		Node:     audit.Node{ID: id.Node, Version: o.Version, BootID: audit.NewID()},
		OnBroken: d.auditBroken,
	})
	if err != nil {
		return err
	}
	if store, log := d.store.Generation(), d.audit.StateGeneration(); store < log {
		return fmt.Errorf("the store is at generation %d, the audit log has recorded generation %d: the store was rolled back, or belongs to another log; restore the store that goes with the log", store, log)
	}
	roots, err := d.cfg.OIDC.roots(&d.cfg)
	if err != nil {
		return err
	}
	if d.people, err = iam.Open(iam.Config{Store: d.store, Partition: place.Partition, Region: place.Region, OIDCHosts: d.cfg.OIDC.Hosts, OIDCRoots: roots}); err != nil {
		return err
	}
	d.keys, err = keystore.Open(keystore.Config{
		Store: d.store, Place: place, Clock: o.Clock, TrustClock: o.TrustClock, OnChange: d.keyEvent, Warn: d.log.Warn,
	})
	if err != nil {
		return err
	}
	d.alarm()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	d.admin = newAdmin(registry, d)
	tlsConfig, err := d.tls()
	if err != nil {
		return err
	}
	d.server, err = server.New(server.Config{
		Store: d.store, People: d.people, Keys: d.keys, Place: place, Audit: d.audit, Log: d.log, Registry: registry, TLS: tlsConfig,
		Markers: crypto.NewMAC(crypto.Derive(d.domain, "kmsd/marker/v1", nil, 32)), Limits: d.cfg.Limits.limits(),
	})
	if err != nil {
		return err
	}
	d.aws, err = d.listenAWS(tlsConfig, registry)
	return err
}

// roots are the authorities that the hosts of identity providers are checked against; nil stands for those of the system.
func (o *OIDCConfig) roots(c *Config) (*x509.CertPool, error) {
	if o.CAFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(c.path(o.CAFile))
	if err != nil {
		return nil, fmt.Errorf("oidc.ca_file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("oidc.ca_file: %s holds no certificate in PEM", o.CAFile)
	}
	return pool, nil
}

// alarm tells of stored policies that do not parse: what they are part of is denied until somebody puts others in their place.
func (d *Daemon) alarm() {
	for _, p := range d.people.Snapshot().UnusablePolicies() {
		d.log.Error("a stored policy does not parse, and denies everything it is part of: put another one in its place", "owner", p.Owner, "policy", p.Name, "error", p.Err)
	}
	for _, p := range d.keys.Snapshot().UnusablePolicies() {
		d.log.Error("the stored policy of a key does not parse, and the key denies everything: put another one in its place", "key", p.Key.ARN, "error", p.Cause)
	}
}

// source is where the root key comes from.
func (c *Config) source(ask func() (crypto.Secret, error)) (seal.Source, error) {
	switch {
	case c.Seal.KeyFile != "":
		return seal.KeyFile(c.path(c.Seal.KeyFile)), nil
	case c.Seal.PassphraseFile != "-":
		return seal.Passphrase(func() (crypto.Secret, error) { return ReadPassphraseFile(c.path(c.Seal.PassphraseFile)) }), nil
	case ask == nil:
		return seal.Source{}, errors.New("seal.passphrase_file: there is nobody to ask for the passphrase")
	}
	return seal.Passphrase(ask), nil
}

// auditBroken is told when the log becomes unavailable. The log tries to get well by itself; only if it lost what it had promised is
// there no going on.
func (d *Daemon) auditBroken(err error) {
	d.log.Error("the audit log is not available: nothing is answered until it is", "error", err)
	if errors.Is(err, audit.ErrVerification) {
		d.fatal(err)
	}
}

// tls returns the listener's configuration: TLS 1.3, client certificates of our own authority if a client has one, no tickets,
// which would outlive the authority they were issued under.
func (d *Daemon) tls() (*tls.Config, error) {
	if err := d.renew(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}, SessionTicketsDisabled: true,
		ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: d.people.CAPool(),
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return d.cert.Load(), nil },
	}, nil
}

// renew loads the configured certificate, or issues one, which is the same as before unless it is about to expire.
func (d *Daemon) renew() error {
	if d.cfg.TLS.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(d.cfg.path(d.cfg.TLS.CertFile), d.cfg.path(d.cfg.TLS.KeyFile))
		if err != nil {
			return fmt.Errorf("loading the server's certificate: %w", err)
		}
		d.cert.Store(&cert)
		return nil
	}
	issued, err := d.people.IssueServerCertificate(d.cfg.Hosts)
	if err != nil {
		return err
	}
	cert, err := issued.TLS()
	if err != nil {
		return err
	}
	if cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
		return err
	}
	d.cert.Store(&cert)
	return nil
}

// serve opens the listeners and starts what runs beside calls.
func (d *Daemon) serve(o Options) error {
	var err error
	if d.listener, err = net.Listen("tcp", d.cfg.Listen); err != nil {
		return fmt.Errorf("%w; choose another address with listen in %s or --listen", err, ConfigFile)
	}
	if err := d.admin.listen(d.cfg.AdminListen); err != nil {
		return fmt.Errorf("%w; choose another address with admin_listen in %s or --admin-listen", err, ConfigFile)
	}
	if d.k8s, err = d.listenK8s(); err != nil {
		return err
	}
	if err := d.note("KmsdStarted"); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	d.stop = cancel
	d.done.Go(func() {
		if err := d.server.Serve(d.listener); err != nil {
			d.fatal(err)
		}
	})
	d.aws.serve(d)
	d.k8s.serve(d)
	d.logDoors()
	d.done.Go(func() { d.watch(ctx) })
	d.keys.Start()
	d.log.Info("serving", "listen", d.Address(), "admin", d.admin.address(), "version", o.Version, "account", d.people.Snapshot().ManagementAccount(), "generation", d.store.Generation())
	return nil
}

// note writes an event of kmsd's own.
func (d *Daemon) note(name string, params ...audit.Param) error {
	e := d.event(name)
	e.Request = params
	return d.append(e)
}

// event is one of kmsd's own.
func (d *Daemon) event(name string) *audit.Event {
	return &audit.Event{
		Phase: audit.PhaseService, EventType: audit.TypeServiceEvent, EventCategory: "Management", EventSource: "kmsd", EventName: name, EventTime: time.Now(),
		Actor: audit.Actor{Type: audit.ActorService}, StateGeneration: audit.StateGeneration{Before: d.store.Generation(), After: d.store.Generation()},
	}
}

func (d *Daemon) append(e *audit.Event) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return d.audit.Append(ctx, e)
}

// How often what runs beside calls looks after things.
const (
	healthInterval = time.Second
	scrubInterval  = time.Hour
)

// watch keeps the health service true, and every hour reads the whole store, renews the certificate and saves
// when access keys were last used.
func (d *Daemon) watch(ctx context.Context) {
	health, scrub := time.NewTicker(healthInterval), time.NewTicker(scrubInterval)
	defer health.Stop()
	defer scrub.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-health.C:
			d.server.SetServing(d.audit.Err() == nil)
			if err := d.recordShed(ctx); err != nil {
				d.log.Warn("counting refused calls", "error", err)
			}
		case <-scrub.C:
			if err := d.people.SaveLastUsed(); err != nil {
				d.log.Error("saving when access keys were last used", "error", err)
			}
			if err := d.store.Verify(); err != nil {
				d.log.Error("the store is damaged", "error", err)
				d.fatal(err)
			}
			if err := d.renew(); err != nil {
				d.log.Error("renewing the certificate", "error", err)
			}
		}
	}
}

// keyEvent records what the keystore does by itself, before it does.
func (d *Daemon) keyEvent(e keystore.ServiceEvent) error {
	event := d.event(e.Operation)
	if e.KeyARN != "" {
		event.EventSource, event.Mutating = "kms", true
		event.Key = audit.Key{ID: e.KeyID, MaterialID: e.MaterialID}
		event.Resources = append(event.Resources, audit.Resource{Type: "KEY", ARN: e.KeyARN, Tenant: e.Account})
	}
	if e.Credit != 0 {
		event.Request = append(event.Request, audit.String("credit", e.Credit.String()))
	}
	if e.Count != 0 {
		event.Request = append(event.Request, audit.Int("count", int64(e.Count)))
	}
	return d.append(event)
}

// Tick does at once what the keystore does by itself every minute.
func (d *Daemon) Tick(ctx context.Context) error {
	_, err := d.keys.Tick(ctx)
	return err
}

func (d *Daemon) recordShed(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, healthInterval)
	defer cancel()
	return d.server.RecordShed(ctx)
}

// Reload loads the server's certificate again, or renews the one that kmsd issued if it is about to expire. On an error, which is
// logged, the old one stays.
func (d *Daemon) Reload() {
	if err := d.renew(); err != nil {
		d.log.Error("loading the certificate: the old one stays", "error", err)
		return
	}
	d.log.Info("loaded the certificate", "expires", d.cert.Load().Leaf.NotAfter)
}

// Address is where gRPC is served.
func (d *Daemon) Address() string { return d.listener.Addr().String() }

// Failed delivers at most one error, after which the daemon cannot go on and is to be shut down.
func (d *Daemon) Failed() <-chan error { return d.failed }

// Shutdown stops serving, finishes the calls under way until ctx ends, and closes everything.
func (d *Daemon) Shutdown(ctx context.Context) error {
	d.log.Info("shutting down")
	d.shutDoors(ctx)
	d.server.Shutdown(ctx)
	if err := d.people.SaveLastUsed(); err != nil {
		d.log.Error("saving when access keys were last used", "error", err)
	}
	if err := d.keys.Close(); err != nil {
		d.log.Error("saving when keys were last used", "error", err)
	}
	var noted error
	if d.audit.Err() == nil {
		noted = d.note("KmsdStopped")
	}
	return errors.Join(noted, d.close())
}

func (d *Daemon) close() error {
	d.stop()
	var errs []error
	if d.admin != nil {
		errs = append(errs, d.admin.close())
	}
	if d.listener != nil {
		d.listener.Close() // closed already unless the start failed
	}
	d.aws.close()
	d.k8s.close()
	d.done.Wait()
	if d.audit != nil {
		errs = append(errs, d.audit.Close())
	}
	if d.store != nil {
		errs = append(errs, d.store.Close())
	}
	d.domain.Wipe()
	return errors.Join(errs...)
}

// Tune sets the garbage collector for a server whose live heap is small beside its machine: performance.md measures the gain.
func Tune() { debug.SetGCPercent(400) }

// AdminAddress is where metrics and health are served, or AdminOff.
func (d *Daemon) AdminAddress() string { return d.admin.address() }
