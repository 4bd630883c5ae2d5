# Runs a command with its output in a file, says how it went, and shows the output if it failed. For scripts that set
# `suite`, which is said before each line, and `work`, the folder of the files. In the end `failed` says whether any has failed.
failed=0
step() {
    local name=$1 log=$work/${1// /-}.log began=$SECONDS
    shift
    # In the condition itself, bash would go on after a command that fails.
    ("$@") >"$log" 2>&1 </dev/null &
    if wait $!; then
        echo "$suite: $name: ok ($((SECONDS - began)) s)"
    else
        echo "$suite: $name: FAILED ($((SECONDS - began)) s)"
        tail -n 100 "$log"
        failed=1
    fi
}
