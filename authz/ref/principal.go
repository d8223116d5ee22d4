package ref

import "strings"

// levels returns the levels at which Principal names the caller: section 7.
func (e *evaluation) levels(p *Policy, s *statement) map[string]bool {
	found := map[string]bool{}
	for _, entry := range s.principals {
		if level := e.level(p, entry); level != "" {
			found[level] = true
		}
	}
	return found
}

// level returns the level at which one entry names the caller, or "".
func (e *evaluation) level(p *Policy, entry principalEntry) string {
	c := &e.Caller
	if entry.kind == "Federated" || c.Kind == "web" {
		if entry.kind == "Federated" && c.Kind == "web" && entry.text == c.ID {
			return "DIRECT"
		}
		return ""
	}
	isID := entry.text == c.ID || p.IDs[entry.text] == c.ID && sessionOf(entry.text) == ""
	switch {
	case entry.text == "*":
		return "DIRECT"
	case isAccount(entry.text, c.Account):
		return "ACCOUNT"
	case c.Kind == "user" && isID:
		return "DIRECT"
	case c.Kind == "session" && isID && e.Defect == SessionTakesRoleARN:
		return "DIRECT"
	case c.Kind == "session" && isID:
		return "ROLE"
	case c.Kind == "session" && p.IDs[entry.text] != "" && p.IDs[entry.text]+":"+sessionOf(entry.text) == c.ID+":"+c.SessionName:
		return "DIRECT"
	case c.Kind == "session" && entry.text == c.ARN && e.Defect == SessionByARN:
		return "DIRECT"
	}
	return ""
}

// sessionOf returns the name of the session in the ARN of one, or "".
func sessionOf(text string) string {
	if !strings.Contains(text, ":assumed-role/") {
		return ""
	}
	return text[strings.LastIndex(text, "/")+1:]
}

// isAccount reports whether a text stands for an account: by its number, or by the ARN of its root.
func isAccount(text, account string) bool {
	return text == account || strings.HasPrefix(text, "arn:") && strings.HasSuffix(text, ":iam::"+account+":root")
}

// deniesCaller returns the level at which a Deny takes in the caller, or "".
func (e *evaluation) deniesCaller(p *Policy, s *statement) string {
	if s.notPrincipal {
		return e.notExempt(p, s)
	}
	levels := e.levels(p, s)
	for _, entry := range s.principals {
		if entry.text == "*" { // those of no account among them
			levels["DIRECT"] = true
		}
	}
	for _, level := range []string{"DIRECT", "ROLE", "ACCOUNT"} {
		if levels[level] {
			return level
		}
	}
	return ""
}

// notExempt is the rule of NotPrincipal: only a caller whose whole chain is listed, and who has no permissions boundary, is exempt.
func (e *evaluation) notExempt(p *Policy, s *statement) string {
	c := &e.Caller
	levels := e.levels(p, s)
	everyone := false
	for _, entry := range s.principals {
		everyone = everyone || entry.text == "*"
	}
	var chain bool
	switch c.Kind {
	case "root":
		chain = levels["ACCOUNT"]
	case "user":
		chain = levels["DIRECT"] && levels["ACCOUNT"]
	case "session":
		chain = levels["DIRECT"] && levels["ROLE"] && levels["ACCOUNT"]
	}
	if e.Defect == NotPrincipalAny {
		chain = len(levels) > 0
	}
	if everyone || chain && c.Boundary == nil {
		return ""
	}
	return "DIRECT"
}
