package keystore

import (
	"strings"
	"sync"
)

// shared is what many keys have in common, and then share. Its methods may be called concurrently.
type shared struct {
	mu       sync.RWMutex
	policies map[string]*Policy // :: as Policy.encode has it → policy
	accounts map[string]string  // :: account → account
}

// account returns the account of a name.
func (s *shared) account(name string) string {
	s.mu.RLock()
	same, ok := s.accounts[name]
	s.mu.RUnlock()
	if ok {
		return same
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.accounts[name]; !ok {
		name = strings.Clone(name)
		s.accounts[name] = name
	}
	return s.accounts[name]
}

// policy returns the policy of an encoded one.
func (s *shared) policy(encoded []byte) *Policy {
	s.mu.RLock()
	same, ok := s.policies[string(encoded)]
	s.mu.RUnlock()
	if ok {
		return same
	}
	document, bindings := decodePolicy(encoded)
	p, err := recompilePolicy(document, bindings)
	if err != nil {
		p = unusablePolicy(document, bindings, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if same, ok := s.policies[string(encoded)]; ok {
		return same
	}
	s.policies[string(encoded)] = p
	return p
}
