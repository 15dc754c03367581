// Package sopsdoc says what a SOPS document says about itself: whether it is one, in which format, for whom, and which of
// its values stand there in plain text.
//
// It takes a file's name and bytes and needs no key. It links nothing of the SOPS library, whose SDKs of cloud services
// would slow whatever only wants to look.
package sopsdoc
