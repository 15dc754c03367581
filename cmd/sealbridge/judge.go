package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/sealbridge/sealbridge/internal/sealing"
)

// sealAgain is what to do about what its controller cannot open.
const sealAgain = "seal it again, for the namespace, name and scope it has"

// validate asks the controller about every SealedSecret of the input.
func (r *sealRun) validate(ctx context.Context) error {
	_, err := r.each(ctx, "/v1/verify", func(o *sealing.Object, _ []byte, err error) error {
		var answer *answerError
		switch {
		case errors.As(err, &answer) && answer.code == http.StatusConflict:
			hint := sealAgain
			if answer.said != "" && answer.said != sealing.Undecryptable {
				hint = "the controller says: " + string(answer.said)
			}
			return &sealing.Error{Problem: "unable to decrypt sealed secret: " + o.Name, Hint: hint, Cause: err}
		case errors.As(err, &answer) && answer.code == http.StatusNotFound && answer.reason == "":
			return notServed("--validate", "apply the SealedSecret and read its Synced condition", err)
		case err != nil:
			return &sealing.Error{Problem: "cannot validate sealed secret: " + err.Error(), Hint: whatToDo(err, useFlags), Cause: err}
		}
		return nil
	})
	return err
}

// reEncrypt has the controller seal every SealedSecret of the input again. With an input file alone it replaces that. Of what
// the controller answers it takes the sealed values and nothing else, so that nothing is lost that a controller does not know.
func (r *sealRun) reEncrypt(ctx context.Context, format sealing.Format) error {
	if r.flags.rotate {
		r.note("Flag --rotate has been deprecated, please use --re-encrypt instead")
	}
	if r.flags.output == "" && r.flags.input != "" {
		r.flags.output = r.flags.input
		var err error
		if format, err = r.flags.outputFormat(); err != nil {
			return err
		}
		if !r.formatAsked && !isYAML(r.flags.output) {
			format = "" // the file's own
		}
	}
	file, err := r.each(ctx, "/v1/rotate", func(o *sealing.Object, body []byte, err error) error {
		var answer *answerError
		switch {
		case errors.As(err, &answer) && answer.code == http.StatusConflict:
			return &sealing.Error{Problem: "unable to rotate secret", Hint: sealAgain + "; --validate says whether the controller can open it", Cause: err}
		case errors.As(err, &answer) && answer.code == http.StatusInternalServerError && (answer.said == "" || answer.said == sealing.Undecryptable):
			return &sealing.Error{
				Problem: fmt.Sprintf("cannot re-encrypt secret: the controller cannot open %q under its namespace, name and scope", o.Name),
				Hint:    sealAgain + "; if another controller has its key, " + useFlags, Cause: err,
			}
		case errors.As(err, &answer) && answer.code == http.StatusNotFound && answer.reason == "":
			return notServed("--re-encrypt", "seal the Secret again", err)
		case err != nil:
			return &sealing.Error{Problem: "cannot re-encrypt secret: " + err.Error(), Hint: whatToDo(err, useFlags), Cause: err}
		}
		_, err = o.Renew(body, o.Namespace, nil)
		o.Strip()
		return err
	})
	if err != nil {
		return err
	}
	text, err := file.In(format)
	if err != nil {
		return err
	}
	if r.flags.output == r.flags.input && r.flags.output != "" {
		return updateFile(r.flags.output, file.Before(), text)
	}
	return r.write(text)
}

// isYAML says whether the name of a file chooses YAML.
func isYAML(path string) bool {
	return strings.HasSuffix(path, ".yaml") || strings.HasSuffix(path, ".yml")
}

func notServed(flag, instead string, err error) error {
	return &sealing.Error{Problem: "the controller does not offer " + flag, Hint: instead, Cause: err}
}

// each posts every SealedSecret of the input to the controller, hands on what it answered, and returns the input.
func (r *sealRun) each(ctx context.Context, path string, answer func(*sealing.Object, []byte, error) error) (*sealing.File, error) {
	input, done, err := r.input()
	if err != nil {
		return nil, err
	}
	defer done()
	text, err := readBounded(input, "the input")
	if err != nil {
		return nil, err
	}
	file, err := sealing.ReadSealed(text)
	if err != nil {
		return nil, err
	}
	c, err := r.cluster()
	if err != nil {
		return nil, err
	}
	proxy, err := c.proxy(ctx)
	if err != nil {
		return nil, err
	}
	for _, o := range file.Objects() {
		posted, err := o.JSON(o.Namespace)
		if err != nil {
			return nil, err
		}
		body, err := c.ask(ctx, request{path: proxy + path, body: posted})
		if err := answer(o, body, err); err != nil {
			return nil, err
		}
	}
	return file, nil
}
