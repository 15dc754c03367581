// Package jsonhttp is the HTTP client for backends that answer JSON over HTTP.
//
// It takes the address of one backend, what its certificate is checked against and the headers of each request, and
// gives back bounded answers, or errors whose text is stable and holds no address of a socket, no query and no header.
// It repeats nothing, follows no redirect (which would carry a token to another host), reads nothing of the environment
// but the proxy settings of the process, and never connects to link-local and metadata addresses, where clouds keep the
// credentials of the node.
package jsonhttp
