// Kills a program that trains, over and over, and lets another one go on.

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "nn/nn.hpp"
#include "tests/catch.hpp"
#include "tests/temporary_directory.hpp"

namespace nn = xtape::nn;

namespace {

constexpr std::size_t steps = 250;

/// tests/resume/training.cpp, running.
class Training {
public:
    /// Makes at most `steps_to_make` steps, and waits then.
    Training(const std::string& file, std::size_t steps_to_make) {
        int output[2];
        if (::pipe(input_) != 0 || ::pipe(output) != 0) throw std::runtime_error("no pipe");
        const std::string permission(steps_to_make, '.');
        if (::write(input_[1], permission.data(), permission.size()) < 0)
            throw std::runtime_error("a pipe that takes nothing");
        process_ = ::fork();
        if (process_ < 0) throw std::runtime_error("no process");
        if (process_ == 0) {
            ::dup2(input_[0], STDIN_FILENO);
            ::dup2(output[1], STDOUT_FILENO);
            for (int end : {input_[0], input_[1], output[0], output[1]}) ::close(end);
            ::execl(RESUME_TRAINING, RESUME_TRAINING, file.c_str(), std::to_string(steps).c_str(), nullptr);
            ::_exit(127);
        }
        ::close(output[1]);
        output_ = output[0];
    }
    Training(const Training&) = delete;
    Training& operator=(const Training&) = delete;
    ~Training() {
        if (process_ > 0) {
            kill();
            wait();
        }
        for (int end : {input_[0], input_[1], output_}) ::close(end);
    }

    /// What it says next; 0 at its end.
    char next() {
        char said = 0;
        return ::read(output_, &said, 1) == 1 ? said : '\0';
    }
    void kill() { ::kill(process_, SIGKILL); }
    /// How it ended.
    int wait() {
        int status = 0;
        ::waitpid(std::exchange(process_, -1), &status, 0);
        return status;
    }

private:
    pid_t process_ = -1;
    int input_[2] = {-1, -1};
    int output_ = -1;
};

void train_to_the_end(const std::string& file) {
    Training training(file, steps);
    while (training.next() != '\0') continue;
    const int status = training.wait();
    REQUIRE(WIFEXITED(status));
    REQUIRE(WEXITSTATUS(status) == 0);
}

std::size_t step_in(const std::string& file) {
    if (!std::filesystem::exists(file)) return 0;
    return nn::SafetensorsFile(file).read<std::size_t>("step")();
}

std::size_t files_in(const TemporaryDirectory& directory) {
    const std::filesystem::directory_iterator begin(directory.path()), end;
    return static_cast<std::size_t>(std::distance(begin, end));
}

}  // namespace

TEST_CASE("resume: a run that is killed again and again ends with the bits of an unbroken one") {
    const TemporaryDirectory unbroken, broken;
    train_to_the_end(unbroken / "run");

    const std::string file = broken / "run";
    std::mt19937 engine(5);
    std::size_t step = 0, killed = 0;
    while (step < steps) {
        // Half of the lives end where a save begins, the others anywhere.
        const std::size_t life = std::uniform_int_distribution<std::size_t>(1, 8)(engine);
        const bool in_a_save = engine() % 2 == 0;
        const std::chrono::microseconds later(engine() % (in_a_save ? 100 : 2000));
        Training training(file, life + 1);
        std::size_t saved = step;
        char said = '<';
        while (saved < step + life && said != '\0') {
            said = training.next();
            saved += said == '>';
        }
        if (in_a_save) training.next();
        std::this_thread::sleep_for(later);
        training.kill();
        const int status = training.wait();
        REQUIRE((WIFSIGNALED(status) || WEXITSTATUS(status) == 0));
        killed += WIFSIGNALED(status);

        CAPTURE(killed);
        const std::size_t found = step_in(file);  // of a whole file,
        REQUIRE(found >= saved);                  // and no older than what was said to be saved
        REQUIRE(files_in(broken) <= 2);           // what a killed one leaves is removed by the next
        step = found;
    }
    train_to_the_end(file);
    CHECK(killed > 20);
    CHECK((contents_of(file) == contents_of(unbroken / "run")));
    CHECK(files_in(broken) == 1);
}
