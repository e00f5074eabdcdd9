package tasks

// OldestProtocol is the oldest protocol that this build still carries out: a job that was begun before a deployment ends
// after it. Raise it when the last job of an older protocol has ended everywhere.
const OldestProtocol = 1
