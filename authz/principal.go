package authz

import "strings"

type principalKind uint8

const (
	anyPrincipal principalKind = iota + 1
	accountPrincipal
	userPrincipal
	rolePrincipal
	sessionPrincipal
	idPrincipal
	federatedPrincipal // an OpenID Connect provider
)

// A principal is one entry of a Principal element.
type principal struct {
	kind    principalKind
	text    string // as the document writes it
	id      string // the account of an accountPrincipal; the unique id of a bound user or role, of a bound session's role, or of an idPrincipal; the ARN of a provider
	session string // the name of a session
	from    int    // where it stands in the document
}

func (p *principal) needsBinding() bool {
	return p.kind == userPrincipal || p.kind == rolePrincipal || p.kind == sessionPrincipal
}

// A boundID is what principals are bound to: the unique id of a user or role, or an account; with a session, the sessions of that
// name of the role of the id, of which one that is made again has none.
type boundID struct{ id, session string }

// sessionID is what the caller, a RoleSession, is by itself.
func (c *Caller) sessionID() boundID { return boundID{c.ID, c.SessionName} }

// A sessionMark stands between the two in the text of a boundID. Neither ids nor names of sessions have it.
const sessionMark = ":"

// String is the text: what [Principal] has as ID.
func (b boundID) String() string {
	if b.session == "" {
		return b.id
	}
	return b.id + sessionMark + b.session
}

// is reports whether the text is b's.
func (b boundID) is(text string) bool {
	if b.session == "" {
		return text == b.id
	}
	rest, ok := strings.CutPrefix(text, b.id)
	session, marked := strings.CutPrefix(rest, sessionMark)
	return ok && marked && session == b.session
}

// principals are the entries of one statement, compiled.
type principals struct {
	list      []principal
	everyone  bool
	accounts  set[string]
	ids       set[string] // of users and of roles
	sessions  set[boundID]
	providers set[string] // ARNs
}

func compilePrincipals(list []principal) principals {
	p := principals{list: list}
	var accounts, ids, providers []string
	var sessions []boundID
	for _, e := range list {
		switch e.kind {
		case anyPrincipal:
			p.everyone = true
		case accountPrincipal:
			accounts = append(accounts, e.id)
		case userPrincipal, rolePrincipal, idPrincipal:
			if e.id != "" {
				ids = append(ids, e.id)
			}
		case sessionPrincipal:
			if e.id != "" {
				sessions = append(sessions, boundID{e.id, e.session})
			}
		case federatedPrincipal:
			providers = append(providers, e.id)
		}
	}
	p.accounts, p.ids, p.sessions, p.providers = newSet(accounts), newSet(ids), newSet(sessions), newSet(providers)
	return p
}

// level returns how closely the entries of Principal name the caller, or NoLevel if they do not. A closer level allows
// all that a farther one does, so that the closest is the only one that matters.
func (p *principals) level(c *Caller) Level {
	switch {
	case c.Kind == WebIdentity:
		if p.providers.has(c.ARN) {
			return DirectLevel
		}
		return NoLevel
	case p.everyone:
		return DirectLevel
	case c.Kind == User && p.ids.has(c.ID), c.Kind == RoleSession && p.sessions.has(c.sessionID()):
		return DirectLevel
	case c.Kind == RoleSession && p.ids.has(c.ID):
		return RoleLevel
	case p.accounts.has(c.Account):
		return AccountLevel
	}
	return NoLevel
}

// denies returns at which level a Deny with these entries in Principal takes in the caller, or NoLevel. "*" denies a
// web identity too, which it does not allow anything.
func (p *principals) denies(c *Caller) Level {
	if p.everyone {
		return DirectLevel
	}
	return p.level(c)
}

// deniesOthers is [principals.denies] for the entries of NotPrincipal. Only a caller whose whole chain is listed is
// exempt: a user with its account; a session with its role and their account; the root user with its account. One with
// a permissions boundary never is.
func (p *principals) deniesOthers(c *Caller) Level {
	if p.everyone {
		return NoLevel
	}
	exempt := c.Boundary == nil && p.accounts.has(c.Account)
	switch c.Kind {
	case Root:
	case User:
		exempt = exempt && p.ids.has(c.ID)
	case RoleSession:
		exempt = exempt && p.sessions.has(c.sessionID()) && p.ids.has(c.ID)
	default:
		exempt = false
	}
	if exempt {
		return NoLevel
	}
	return DirectLevel
}

// A set is a few values in a slice, or many in a map.
type set[T comparable] struct {
	few  []T
	many map[T]struct{}
}

const fewValues = 8

// newSet returns the set of a list, which it keeps.
func newSet[T comparable](list []T) set[T] {
	if len(list) <= fewValues {
		return set[T]{few: list}
	}
	m := make(map[T]struct{}, len(list))
	for _, v := range list {
		m[v] = struct{}{}
	}
	return set[T]{many: m}
}

func (s *set[T]) has(v T) bool {
	for i := range s.few {
		if s.few[i] == v {
			return true
		}
	}
	if s.many == nil {
		return false
	}
	_, ok := s.many[v]
	return ok
}

const principalForms = `write "*", a 12-digit account, or the ARN of an account's root, a user or a role`

// parsePrincipal reads one value of Principal's "AWS". The second result is what is wrong with it, "" if nothing.
func parsePrincipal(s string) (principal, string) {
	switch {
	case s == "*":
		return principal{kind: anyPrincipal, text: s}, ""
	case isAccount(s):
		return principal{kind: accountPrincipal, text: s, id: s}, ""
	case isUniqueID(s):
		return principal{kind: idPrincipal, text: s, id: s}, ""
	case strings.ContainsAny(s, "*?"):
		return principal{}, `has a wildcard; a principal is "*" alone or has none`
	}
	var parts [arnParts]string
	if !splitARN(s, &parts) || parts[0] != "arn" || !isPartition(parts[1]) || parts[3] != "" || !isAccount(parts[4]) {
		return principal{}, "is not a principal; " + principalForms
	}
	kind, name, _ := strings.Cut(parts[5], "/")
	switch service := parts[2]; {
	case service == "iam" && parts[5] == "root":
		return principal{kind: accountPrincipal, text: s, id: parts[4]}, ""
	case service == "iam" && kind == "group":
		return principal{}, "is a group, which cannot be a principal; name its users, or the account"
	case service == "iam" && kind == "user" && isEntityName(name, maxUserName):
		return principal{kind: userPrincipal, text: s}, ""
	case service == "iam" && kind == "role" && isEntityName(name, maxRoleName):
		return principal{kind: rolePrincipal, text: s}, ""
	case service == "sts" && kind == "assumed-role" && isSessionName(name):
		_, session, _ := strings.Cut(name, "/")
		return principal{kind: sessionPrincipal, text: s, session: session}, ""
	case service == "sts" && kind == "federated-user":
		return principal{}, "is a federated user, which this version does not support"
	}
	return principal{}, "is not a principal; " + principalForms
}

// accountOf returns the account in an ARN, or "" if it is none.
func accountOf(arn string) string {
	var parts [arnParts]string
	if !splitARN(arn, &parts) {
		return ""
	}
	return parts[4]
}

const (
	maxUserName = 64
	maxRoleName = 64
	maxPath     = 512
)

// isEntityName reports whether s is [path/]name as IAM has it.
func isEntityName(s string, maxName int) bool {
	slash := strings.LastIndexByte(s, '/')
	path, name := s[:slash+1], s[slash+1:]
	return name != "" && len(name) <= maxName && onlyBytes(name, isNameByte) &&
		len(path)+1 <= maxPath && onlyBytes(path, func(b byte) bool { return b > ' ' && b < 0x7f })
}

func isSessionName(s string) bool {
	role, session, _ := strings.Cut(s, "/")
	return role != "" && len(role) <= maxRoleName && onlyBytes(role, isNameByte) &&
		len(session) >= 2 && len(session) <= 64 && onlyBytes(session, isNameByte)
}

func isNameByte(b byte) bool { return isAlphanumeric(b) || strings.IndexByte("_+=,.@-", b) >= 0 }

func isPartition(s string) bool {
	return s != "" && onlyBytes(s, func(b byte) bool { return 'a' <= b && b <= 'z' || isDigit(b) || b == '-' })
}

// isUniqueID reports whether s has the form of the unique id of a user (AIDA…) or a role (AROA…), which IAM gives
// 16 to 128 characters.
func isUniqueID(s string) bool {
	return (strings.HasPrefix(s, "AIDA") || strings.HasPrefix(s, "AROA")) && len(s) >= 16 && len(s) <= 128 &&
		onlyBytes(s, func(b byte) bool { return 'A' <= b && b <= 'Z' || isDigit(b) })
}
