package template

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/sealbridge/sealbridge/internal/aliases"
	"github.com/sealbridge/sealbridge/internal/archive"
	"github.com/sealbridge/sealbridge/internal/expression"
)

// guard looks at the arguments of a function whose result or effort is not about as large as they are, before it runs:
// a call that has begun cannot be stopped.
type guard func(m *meter, args []reflect.Value) error

const (
	maxElements     = 65_536  // of a list that a function makes
	maxRandom       = 65_536  // characters of one random string
	maxUnique       = 4_096   // elements of a list that is compared each with each
	maxDecimals     = 100     // operands of decimal arithmetic, whose exponents add up
	maxVersion      = 1_024   // bytes of a semantic version or constraint
	maxDocument     = 1 << 20 // bytes of a document that is parsed
	maxPattern      = 4_096   // bytes of a regular expression
	maxInstructions = 50_000  // of a compiled regular expression
	maxPatternSteps = 1 << 26 // states of an expression times bytes of text
	maxTrim         = 1 << 28 // bytes of a text times those of the characters that are trimmed from it
	maxCompared     = 1 << 32 // bytes of a list times elements that it is compared with
	maxNumber       = 1 << 40 // magnitude of a loop's bounds, so that they cannot overflow
	formatWidth     = 64      // bytes that a verb may add to its argument
	textOfNumber    = 16      // bytes of memory that a text has which is made of a number, however short
)

func guards() map[string]guard {
	g := map[string]guard{
		"repeat":    func(m *meter, a []reflect.Value) error { return m.fits(product(int(a[0].Int()), a[1].Len())) },
		"until":     func(m *meter, a []reflect.Value) error { return m.countTo(0, a[0].Int(), 1) },
		"untilStep": func(m *meter, a []reflect.Value) error { return m.countTo(a[0].Int(), a[1].Int(), a[2].Int()) },
		"seq":       guardSeq,
		"replace":   guardReplace,
		"join":      guardJoin,
		"wrapWith":  func(m *meter, a []reflect.Value) error { return m.fits(product(a[1].Len()+1, a[2].Len())) },
		"indent":    guardIndent,
		"nindent":   guardIndent,
		"printf":    guardPrintf,
		"without":   guardWithout,
		"trimAll":   guardTrim,
		"trimall":   guardTrim,
		"splitList": func(m *meter, a []reflect.Value) error { return m.countSplits(a[0].String(), a[1].String()) },
		"split":     func(m *meter, a []reflect.Value) error { return m.numberParts(a[0].String(), -1, a[1].String()) },
		"splitn": func(m *meter, a []reflect.Value) error {
			return m.numberParts(a[0].String(), a[1].Int(), a[2].String())
		},
	}
	g["mustWithout"] = guardWithout
	for _, name := range []string{"toStrings", "sortAlpha"} {
		g[name] = func(m *meter, a []reflect.Value) error { return m.numbers(length(a[0])) }
	}
	for _, name := range []string{"randAlphaNum", "randAlpha", "randAscii", "randNumeric", "randBytes"} {
		g[name] = func(m *meter, a []reflect.Value) error { return m.atMost(a[0].Int(), maxRandom) }
	}
	for _, name := range []string{"uniq", "mustUniq"} {
		g[name] = guardUnique
	}
	for _, name := range []string{"addf", "subf", "mulf", "divf"} {
		g[name] = func(m *meter, a []reflect.Value) error { return m.atMost(int64(a[len(a)-1].Len()), maxDecimals) }
	}
	for _, name := range []string{"semver", "semverCompare"} {
		g[name] = eachString(maxVersion)
	}
	for _, name := range []string{
		"fromJson", "mustFromJson", "filterPEM", "filterCertChain", "certSANs",
		"pemTruststoreToPKCS12", "pemTruststoreToPKCS12Pass",
	} {
		g[name] = eachString(maxDocument)
	}
	g["fromYaml"], g["toYaml"] = guardYAML, guardToYAML
	for _, name := range []string{"toJson", "mustToJson", "toPrettyJson", "mustToPrettyJson"} {
		g[name] = guardJSON(escapesHTML)
	}
	g["toRawJson"], g["mustToRawJson"] = guardJSON(escapes), guardJSON(escapes)
	for _, name := range []string{"merge", "mergeOverwrite", "mustMerge", "mustMergeOverwrite"} {
		g[name] = guardMerge
	}
	for _, name := range []string{"pkcs12key", "pkcs12keyPass", "pkcs12cert", "pkcs12certPass"} {
		g[name] = guardPKCS12
	}
	for _, name := range []string{"pemToPkcs12", "pemToPkcs12Pass", "fullPemToPkcs12", "fullPemToPkcs12Pass"} {
		g[name] = guardKey(1)
	}
	g["jwkPublicKeyPem"], g["jwkPrivateKeyPem"], g["rsaDecrypt"] = guardKey(0), guardKey(0), guardKey(3)
	g["buildCustomCert"] = guardCertificate
	for _, name := range []string{"genCAWithKey", "genSelfSignedCertWithKey", "genSignedCertWithKey"} { // an authority's has been looked at
		g[name] = func(m *meter, a []reflect.Value) error { return m.atMost(int64(a[len(a)-1].Len()), archive.MaxKey) }
	}
	for _, name := range []string{"regexMatch", "mustRegexMatch", "regexFind", "mustRegexFind"} {
		g[name] = guardSearch
	}
	for _, name := range []string{
		"regexFindAll", "mustRegexFindAll", "regexSplit", "mustRegexSplit", "regexReplaceAll", "mustRegexReplaceAll",
		"regexReplaceAllLiteral", "mustRegexReplaceAllLiteral",
	} {
		g[name] = guardSearches
	}
	return g
}

// guardPKCS12 bounds the effort of opening a file, the last argument. A wrong file passes: the function refuses it.
func guardPKCS12(m *meter, args []reflect.Value) error {
	if err := eachString(maxDocument)(m, args); err != nil {
		return err
	}
	if archive.Check([]byte(args[len(args)-1].String())) != nil {
		return m.exceed("the file that function \"" + m.calling + "\" opens asks for too many iterations, or has too large a key; export it anew: openssl pkcs12 -export -iter 2048")
	}
	return nil
}

// eachString bounds each argument, all of which are strings.
func eachString(limit int64) guard {
	return func(m *meter, args []reflect.Value) error {
		for _, a := range args {
			if err := m.atMost(int64(a.Len()), limit); err != nil {
				return err
			}
		}
		return nil
	}
}

// guardYAML bounds a document also by how many values it has, and by what its aliases make of it.
func guardYAML(m *meter, args []reflect.Value) error {
	if err := eachString(maxDocument)(m, args); err != nil {
		return err
	}
	text := []byte(args[0].String())
	if err := m.atMost(int64(aliases.Nodes(text)), aliases.MaxNodes); err != nil {
		return err
	}
	if !aliases.Fit(text, maxValue) {
		return m.fits(maxValue + 1)
	}
	return nil
}

// guardKey bounds documents, and more tightly the key among them: work on a key grows with the cube of its size.
func guardKey(position int) guard {
	return func(m *meter, args []reflect.Value) error {
		if err := m.atMost(int64(args[position].Len()), archive.MaxKey); err != nil {
			return err
		}
		return eachString(maxDocument)(m, args)
	}
}

// guardCertificate bounds a certificate and its key, both in base64.
func guardCertificate(m *meter, args []reflect.Value) error {
	if err := m.atMost(int64(args[1].Len()), int64(base64.StdEncoding.EncodedLen(archive.MaxKey))); err != nil {
		return err
	}
	return eachString(maxDocument)(m, args)
}

func (m *meter) fits(size int) error { return m.atMost(int64(size), maxValue) }

func (m *meter) atMost(n, limit int64) error {
	if n > limit {
		return m.exceed("an argument of function \"" + m.calling + "\" asks for too much; give it a shorter text or list, or a smaller number")
	}
	return nil
}

// product multiplies sizes and stays at the top instead of overflowing; a negative factor counts as none.
func product(a, b int) int {
	if a <= 0 || b <= 0 {
		return 0
	}
	if a > math.MaxInt/b {
		return math.MaxInt
	}
	return a * b
}

// countTo bounds the list from start to stop by step.
func (m *meter) countTo(start, stop, step int64) error {
	for _, n := range []int64{start, stop, step} {
		if n > maxNumber || n < -maxNumber {
			return m.atMost(maxNumber+1, maxNumber)
		}
	}
	if step == 0 {
		return nil
	}
	return m.atMost(max((stop-start)/step, (start-stop)/step), maxElements)
}

func guardSeq(m *meter, args []reflect.Value) error {
	params := args[0]
	at := func(i int) int64 { return params.Index(i).Int() }
	switch params.Len() {
	case 1:
		return m.countTo(0, at(0), 1)
	case 2:
		return m.countTo(at(0), at(1), 1)
	case 3:
		return m.countTo(at(0), at(2), at(1))
	default:
		return nil
	}
}

func guardReplace(m *meter, args []reflect.Value) error {
	from, to, text := args[0].String(), args[1].Len(), args[2].String()
	return m.fits(len(text) + product(strings.Count(text, from), to))
}

func guardJoin(m *meter, args []reflect.Value) error {
	return m.fits(product(args[0].Len(), length(args[1])))
}

func guardIndent(m *meter, args []reflect.Value) error {
	lines := strings.Count(args[1].String(), "\n") + 1
	return m.fits(product(int(args[0].Int()), lines))
}

// guardUnique bounds a list that is compared each with each, in elements and in what is looked at of them.
func guardUnique(m *meter, args []reflect.Value) error {
	if err := m.atMost(int64(length(args[0])), maxUnique); err != nil {
		return err
	}
	weight, err := m.weigh(args[0])
	if err != nil {
		return err
	}
	return m.atMost(int64(product(weight, length(args[0]))), maxCompared)
}

// guardWithout bounds a list that is compared with each of others, in the same way. Of two that are compared no more is looked at than
// the smaller one has.
func guardWithout(m *meter, args []reflect.Value) error {
	if err := m.atMost(int64(product(length(args[0]), length(args[1]))), maxUnique*maxUnique/2); err != nil {
		return err
	}
	list, err := m.weigh(args[0])
	if err != nil {
		return err
	}
	others, err := m.weigh(args[1])
	if err != nil {
		return err
	}
	return m.atMost(int64(min(product(list, length(args[1])), product(others, length(args[0])))), maxCompared)
}

// guardMerge counts the copies that are made of what is merged, which has been weighed last.
func guardMerge(m *meter, _ []reflect.Value) error { return m.allocate(m.roomy) }

// guardTrim bounds how often all of the characters are looked through: once for each of the text.
func guardTrim(m *meter, args []reflect.Value) error {
	return m.atMost(int64(product(args[0].Len(), args[1].Len())), maxTrim)
}

func (m *meter) countSplits(sep, text string) error {
	return m.atMost(int64(strings.Count(text, sep)), maxElements)
}

// numberParts bounds what a text is split into, and counts the names of the parts, which are numbered; a negative most is none.
func (m *meter) numberParts(sep string, most int64, text string) error {
	if err := m.countSplits(sep, text); err != nil {
		return err
	}
	parts := strings.Count(text, sep) + 1
	if most >= 0 {
		parts = min(parts, int(most))
	}
	return m.numbers(parts)
}

// numbers counts the memory of texts that are made of numbers.
func (m *meter) numbers(n int) error { return m.allocate(product(n, textOfNumber)) }

// length returns how many elements a list holds; anything else counts as one.
func length(v reflect.Value) int {
	for v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if v.Kind() == reflect.Slice || v.Kind() == reflect.Array {
		return v.Len()
	}
	return 1
}

var errPointer = errors.New("addresses are not printed")

// printsPointers reports whether a format has the verb that prints addresses, which are others each time.
func printsPointers(format string) bool {
	for {
		_, rest, found := strings.Cut(format, "%")
		if !found {
			return false
		}
		rest = strings.TrimLeft(rest, "+-# 0123456789.*[]")
		if strings.HasPrefix(rest, "p") {
			return true
		}
		format = rest[min(1, len(rest)):] // the verb, which may be another %
	}
}

// guardPrintf bounds the result of a format: every verb may print the largest argument, and widths and precisions add
// to it, for each element of a list anew; one that comes from an argument ("*") is taken for the most that package fmt allows.
func guardPrintf(m *meter, args []reflect.Value) error {
	format, largest, most := args[0].String(), 0, 1
	if printsPointers(format) {
		return errPointer
	}
	for i := range args[1].Len() {
		weight, err := m.weigh(args[1].Index(i))
		if err != nil {
			return err
		}
		largest, most = max(largest, weight), max(most, elements(args[1].Index(i)))
	}
	verbs := strings.Count(format, "%")
	size := len(format) + product(verbs, largest+product(formatWidth, most))
	const fmtMost = 1_000_000
	widths, number := product(strings.Count(format, "*"), fmtMost), 0
	for _, c := range format {
		if c < '0' || c > '9' {
			number = 0
			continue
		}
		widths -= number
		number = min(number*10+int(c-'0'), fmtMost)
		widths += number
	}
	if err := m.fits(size + min(product(widths, most), maxValue+1)); err != nil {
		return err
	}
	return textsOnly(format, args[1])
}

// elements returns how many things a format prints one by one in a value, which has been weighed and thus has a bottom. What a pointer
// shows is printed as one text, or not at all.
func elements(v reflect.Value) int {
	n := 0
	switch v.Kind() {
	case reflect.Interface:
		return elements(v.Elem())
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			n += elements(v.Index(i))
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			n += elements(it.Key()) + elements(it.Value())
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			n += elements(field)
		}
	default:
		return 1
	}
	return n
}

// textsOnly refuses a format that prints what holds a pointer in another way than as its text: inside of a list or of a
// structure, that prints the address. Package fmt says itself what it would print how.
func textsOnly(format string, args reflect.Value) error {
	var asked verbs
	probes, found := make([]any, args.Len()), false
	for i := range probes {
		if arg := args.Index(i); holdsPointer(arg) {
			probes[i], found = &asked, true
		} else {
			probes[i] = arg.Interface()
		}
	}
	if !found {
		return nil
	}
	if _ = fmt.Sprintf(format, probes...); asked.other {
		return errPointer
	}
	return nil
}

// verbs stands for an argument of a format, and takes note of whether it is to be printed otherwise than as its text.
type verbs struct{ other bool }

// Format implements fmt.Formatter.
func (v *verbs) Format(state fmt.State, verb rune) {
	v.other = v.other || !strings.ContainsRune("vsqxX", verb) || verb == 'v' && state.Flag('#')
}

// holdsPointer reports whether there is a pointer in a value, which has been weighed and thus has a bottom.
func holdsPointer(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer:
		return true
	case reflect.Interface:
		return holdsPointer(v.Elem())
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if holdsPointer(v.Index(i)) {
				return true
			}
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if holdsPointer(it.Value()) {
				return true
			}
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			if holdsPointer(field) {
				return true
			}
		}
	}
	return false
}

// guardSearch bounds one search by the size of the compiled expression and of the text, which is what Go's linear
// matcher works through. A wrong expression passes: the function itself refuses it.
func guardSearch(m *meter, args []reflect.Value) error {
	pattern, text := args[0].String(), args[1].String()
	if err := m.atMost(int64(len(pattern)), maxPattern); err != nil {
		return err
	}
	size := expression.Size(pattern)
	if err := m.atMost(int64(size), maxInstructions); err != nil {
		return err
	}
	return m.atMost(int64(product(size, len(text))), maxPatternSteps)
}

// guardSearches bounds a call that searches again after each match, by walking the matches once with an eye on the
// clock and on the size of what the call will return.
func guardSearches(m *meter, args []reflect.Value) error {
	if err := guardSearch(m, args); err != nil {
		return err
	}
	re, err := regexp.Compile(args[0].String())
	if err != nil {
		return nil //nolint:nilerr // the function itself refuses a wrong expression
	}
	text, replacement, started := args[1].String(), "", time.Now()
	if args[2].Kind() == reflect.String {
		replacement = args[2].String()
	}
	references := strings.Count(replacement, "$")
	size, matches := len(text), int64(0)
	re.ReplaceAllStringFunc(text, func(match string) string {
		matches++
		size += len(replacement) + product(references, len(match))
		stopOn(m.step())
		stopOn(m.fits(size))
		stopOn(m.atMost(matches, maxElements))
		return ""
	})
	// The call takes as long again, and cannot be stopped.
	if end, ok := m.ctx.Deadline(); ok && time.Until(end) < time.Since(started) {
		return m.expire()
	}
	return nil
}
