"""What waits: trio shells around the protocol's machines, and the World port they wait in.

No decision about areas is taken here. An actor is a task that parks in a World, serves a machine or
drives a script there, and fails and is cancelled as a trio task.
"""
